# Results of volumes that came from BIDS folders, under their names among the derivatives.


rule derivative:
    input:
        image=derived_image,
    output:
        image=f"{RESULTS}/bids/{{derivative}}",
    log:
        f"{RESULTS}/logs/bids/{{derivative}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/derivative/{{derivative}}.tsv"
    wildcard_constraints:
        derivative=r"sub-[^.]+\.(nii\.gz|png|ome\.tif)",
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        code=code_version("pipeline.steps.derivatives"),
    message:
        "Naming {input.image} as a BIDS derivative"
    shell:
        "python -m pipeline.steps derivatives --image {input.image:q} --output {output.image:q} > {log:q} 2>&1"


# An image that is a folder.
use rule derivative as derivative_folder with:
    output:
        image=directory(f"{RESULTS}/bids/{{derivative}}"),
    wildcard_constraints:
        derivative=r"sub-[^.]+\.ome\.zarr",


rule derivative_sidecar:
    input:
        image=derived_result,
        forward_model=derived_model,
        sidecars=raw_sidecars,
    output:
        sidecar=f"{RESULTS}/bids/{{derivative}}.json",
    log:
        f"{RESULTS}/logs/bids/{{derivative}}.sidecar.log",
    benchmark:
        f"{RESULTS}/benchmarks/derivative_sidecar/{{derivative}}.tsv"
    wildcard_constraints:
        derivative=r"sub-[^.]+",
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        source=derived_entry,
        link=derived_link,
        method=RUN.infer.deliver,
        voxel_um=derived_size,
        kind=derived_kind,
        code=code_version("pipeline.steps.derivatives"),
    message:
        "Describing {input.image} as a BIDS derivative"
    shell:
        "python -m pipeline.steps derivatives --image {input.image:q} --forward-model {input.forward_model:q}"
        " --source {params.source:q} --link {params.link} --method {params.method} --raw-sidecar {input.sidecars:q}"
        " --voxel-um {params.voxel_um} {params.kind} --sidecar {output.sidecar:q} > {log:q} 2>&1"


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
        code=code_version("pipeline.steps.describe_derivatives"),
    message:
        "Describing the BIDS derivatives"
    shell:
        "python -m pipeline.steps describe_derivatives --run {params.run} --method {params.method} --links {params.links:q}"
        " --output {output.description:q} > {log:q} 2>&1"
