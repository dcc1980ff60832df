STACKS = [volume for volume in RUN.volumes if volume.is_stack]
STACK_SOURCES = list(dict.fromkeys(volume.source for volume in STACKS))


rule duplicates:
    input:
        archives=[source_file(source) for source in STACK_SOURCES],
        extracted=expand(
            f"{RESULTS}/extracted/{{volume}}.safetensors",
            volume=[volume.id for volume in RUN.volumes if not volume.is_stack],
        ),
    output:
        table=f"{RESULTS}/duplicates.csv",
    log:
        f"{RESULTS}/logs/duplicates.log",
    benchmark:
        f"{RESULTS}/benchmarks/duplicates.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        sources=STACK_SOURCES,
        volumes=f"[{','.join(volume.model_dump_json() for volume in STACKS)}]",
        settings=section("duplicates"),
        code=code_version("pipeline.steps.duplicates"),
    message:
        "Looking for pictures and volumes that stand in two splits"
    shell:
        "python -m pipeline.steps duplicates --input {input.archives:q} --sources {params.sources:q}"
        " --volumes {params.volumes:q} --extracted {input.extracted:q} --output {output.table:q} --settings {params.settings:q} > {log:q} 2>&1"


rule extract:
    input:
        source=volume_source,
        segmentation=volume_segmentation,
        duplicates=volume_duplicates,
    output:
        volume=f"{RESULTS}/extracted/{{volume}}.safetensors",
    log:
        f"{RESULTS}/logs/extract/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/extract/{{volume}}.tsv"
    group:
        prepared_with
    conda:
        "../../envs/imaging.yaml"
    # Volumes are handled side by side, each on one core: a second thread gains a single volume nothing.
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        settings=section("extract"),
        volume=volume_entry,
        format=volume_format,
        code=code_version("pipeline.steps.extract"),
    message:
        "Extracting {wildcards.volume}"
    shell:
        "python -m pipeline.steps extract --input {input.source:q} --segmentation {input.segmentation:q} --output {output.volume:q}"
        " --format {params.format} --duplicates {input.duplicates:q} --volume {params.volume:q} --settings {params.settings:q} > {log:q} 2>&1"
