rule download:
    input:
        local=local_file,
        stored=s3_file,
    output:
        file="resources/{source}/{file}",
        record="resources/{source}/{file}.source.json",
    log:
        "resources/logs/{source}/{file}.log",
    benchmark:
        "resources/benchmarks/download/{source}/{file}.tsv"
    wildcard_constraints:
        # Neither the record of a file nor what the rule features makes of one.
        file=r"(?!features\.safetensors$)[^/]+(?<!\.source\.json)",
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        entry=source_entry,
        code=code_version("pipeline.steps.download"),
    message:
        "Fetching {wildcards.source}"
    shell:
        "python -m pipeline.steps download --name {wildcards.source} --source {params.entry:q}"
        " --fetched {input.stored:q} --output {output.file:q} > {log:q} 2>&1"
