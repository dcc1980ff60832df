# Results of volumes that came from BIDS folders, under their names among the derivatives.
DERIVATIVES = RUN.derivatives
BIDS_LINKS = RUN.bids_links


def derived_from(wildcards):
    """Returns the id of the volume that a derivative is the result of."""
    return DERIVATIVES[wildcards.derivative]


def derived_source(wildcards):
    """Returns the source of a derivative's volume."""
    return SOURCES[RUN.volume(derived_from(wildcards)).source]


def derived_image(wildcards):
    """Returns the deliverable that becomes a derivative."""
    return delivered([derived_from(wildcards)])


def derived_model(wildcards):
    """Returns the forward model of a derivative's volume."""
    return f"{RESULTS}/degraded/{derived_from(wildcards)}.forward.json"


def derived_link(wildcards):
    """Returns the name of the data set that a derivative was made of."""
    return BIDS_LINKS[derived_source(wildcards).bids]


def derived_entry(wildcards):
    """Returns the source of a derivative's volume as JSON."""
    return derived_source(wildcards).model_dump_json()


def raw_sidecar(wildcards):
    """Returns the sidecar of the image that a derivative was made of, where it has one."""
    path = Path(derived_source(wildcards).sidecar)
    return str(path) if path.is_file() else []


def bids_results():
    """Returns the whole data set of derivatives; nothing where no volume came from a BIDS folder."""
    files = expand(rules.derivative.output, derivative=DERIVATIVES)
    return [*rules.describe_derivatives.output, *files] if DERIVATIVES else []


rule derivative:
    input:
        image=derived_image,
        forward_model=derived_model,
        sidecar=raw_sidecar,
    output:
        image=f"{RESULTS}/bids/{{derivative}}.nii.gz",
        sidecar=f"{RESULTS}/bids/{{derivative}}.json",
    log:
        f"{RESULTS}/logs/bids/{{derivative}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/bids/{{derivative}}.tsv"
    wildcard_constraints:
        derivative="|".join(map(re.escape, DERIVATIVES)) or "none",
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        source=derived_entry,
        link=derived_link,
        method=RUN.infer.deliver,
        code=code_version("pipeline.derivatives"),
    message:
        "Naming {input.image} as a BIDS derivative"
    shell:
        "python -m pipeline derivatives --image {input.image:q} --forward-model {input.forward_model:q}"
        " --source {params.source:q} --link {params.link} --method {params.method} --raw-sidecar {input.sidecar:q}"
        " --output {output.image:q} --sidecar {output.sidecar:q} > {log:q} 2>&1"


rule describe_derivatives:
    input:
        descriptions=expand("{root}/dataset_description.json", root=BIDS_LINKS),
    output:
        description=f"{RESULTS}/bids/dataset_description.json",
    log:
        f"{RESULTS}/logs/describe_derivatives.log",
    benchmark:
        f"{RESULTS}/benchmarks/describe_derivatives.tsv"
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        run=RUN.run,
        links=as_json({link: root for root, link in BIDS_LINKS.items()}),
        method=RUN.infer.deliver,
        code=code_version("pipeline.describe_derivatives"),
    message:
        "Describing the BIDS derivatives"
    shell:
        "python -m pipeline describe_derivatives --run {params.run} --method {params.method} --links {params.links:q}"
        " --output {output.description:q} > {log:q} 2>&1"
