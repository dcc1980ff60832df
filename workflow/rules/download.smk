def local_file(wildcards):
    """Returns the user's own file that a source names, so that snakemake notices when it changes."""
    source = SOURCES[wildcards.source]
    return [source.path] if source.kind == "local" else []


def source_entry(wildcards):
    """Returns a source's entry as JSON."""
    return SOURCES[wildcards.source].model_dump_json()


rule download:
    localrule: True
    input:
        local=local_file,
    output:
        file="resources/{source}/{file}",
        record="resources/{source}/{file}.source.json",
    wildcard_constraints:
        file="|".join(re.escape(source.file_name) for source in SOURCES.values()),
    log:
        "resources/logs/{source}/{file}.log",
    benchmark:
        "resources/benchmarks/{source}/{file}.tsv"
    conda:
        "../../envs/imaging.yaml"
    params:
        entry=source_entry,
        code=code_version("pipeline.download"),
    message:
        "Fetching {wildcards.source}"
    shell:
        "python -m pipeline download --name {wildcards.source} --source {params.entry:q}"
        " --output {output.file:q} --archives resources/archives > {log:q} 2>&1"
