rule download:
    input:
        local=local_file,
        stored=by(
            "source",
            {
                name: storage.s3(source.path) if source.kind == "s3" else []
                for name, source in SOURCES.items()
            },
        ),
    output:
        file="resources/{source}/{file}",
        record="resources/{source}/{file}.source.json",
    log:
        "resources/logs/{source}/{file}.log",
    benchmark:
        "resources/benchmarks/download/{source}/{file}.tsv"
    wildcard_constraints:
        # Neither the record of a file nor the feature network, which the rule convert_vgg writes.
        file=r"(?!features\.safetensors$)[^/]+(?<!\.source\.json)",
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        entry=by(
            "source",
            {name: source.model_dump_json() for name, source in SOURCES.items()},
        ),
        code=code_version("pipeline.steps.download"),
    message:
        "Fetching {wildcards.source}"
    shell:
        "python -m pipeline.steps download --name {wildcards.source} --source {params.entry:q}"
        " --fetched {input.stored:q} --output {output.file:q} > {log:q} 2>&1"
