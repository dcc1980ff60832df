def local_file(wildcards):
    """Returns the user's own file that a source names, so that snakemake notices when it changes.

    A folder of pictures is watched through its folders: they change when a picture is added, removed or replaced. Where a
    file is missing and no copy of it was kept, it stops and names all that the run lacks.
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
        # Neither the record of a file nor the feature network that the rule features makes of one.
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
