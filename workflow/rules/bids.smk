# Results of volumes that came from BIDS folders, under their names among the derivatives.


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
        f"{RESULTS}/benchmarks/derivative/{{derivative}}.tsv"
    wildcard_constraints:
        derivative="|".join(map(re.escape, DERIVATIVES)) or "none",
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        source=derived_entry,
        link=derived_link,
        method=RUN.infer.deliver,
        kind="",
        code=code_version("pipeline.derivatives"),
    message:
        "Naming {input.image} as a BIDS derivative"
    shell:
        "python -m pipeline derivatives --image {input.image:q} --forward-model {input.forward_model:q}"
        " --source {params.source:q} --link {params.link} --method {params.method} --raw-sidecar {input.sidecar:q}"
        " {params.kind} --output {output.image:q} --sidecar {output.sidecar:q} > {log:q} 2>&1"


use rule derivative as derivative_map with:
    input:
        image=derived_map,
        forward_model=derived_model,
        sidecar=raw_sidecar,
    wildcard_constraints:
        derivative="|".join(map(re.escape, DERIVED_MAPS)) or "none",
    params:
        source=derived_entry,
        link=derived_link,
        method=RUN.infer.deliver,
        kind="--error-map",
        code=code_version("pipeline.derivatives"),


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
