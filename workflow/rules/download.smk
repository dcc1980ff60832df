def local_file(wildcards):
    """Return the local file of a source as an input, so that Snakemake detects changes.

    A folder of pictures is tracked through its folders: they change when a picture is added, removed or replaced. If a
    file is missing and not cached, the run stops with a list of all missing files.
    """
    source = SOURCES[wildcards.source]
    if source.kind != "local":
        return []
    path = Path(source.path)
    if not path.exists():
        checked(check_files, RUN)
    return (
        [str(folder) for folder in folders_of(path)] if path.is_dir() else source.path
    )


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
