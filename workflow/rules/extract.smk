LABEL_MAPS = [volume for volume in RUN.volumes if volume.is_label_map]
STACK_SOURCES = list(dict.fromkeys(volume.origin for volume in STACKS))
# Small jobs that are grouped into one cluster job. Stacks depend on the table of duplicates, which depends on the volumes:
# a common group would be circular.
GROUPS = {
    volume.id: "stacks" if volume.is_stack else "volumes" for volume in RUN.volumes
}
DUPLICATES = f"{RESULTS}/duplicates.csv"


rule duplicates:
    input:
        archives=[source_file(source) for source in STACK_SOURCES],
        extracted=expand(
            EXTRACTED,
            volume=[volume.id for volume in RUN.volumes if not volume.is_stack],
        ),
    output:
        table=DUPLICATES,
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
        "Searching for near-duplicates in different splits"
    shell:
        "python -m pipeline.steps duplicates --input {input.archives:q} --sources {params.sources:q}"
        " --volumes {params.volumes:q} --extracted {input.extracted:q} --output {output.table:q} --settings {params.settings:q} > {log:q} 2>&1"


rule extract:
    input:
        source=by("volume", {volume.id: volume_file(volume) for volume in RUN.volumes}),
        segmentation=by(
            "volume",
            {
                volume.id: (
                    source_file(volume.segmentation) if volume.segmentation else []
                )
                for volume in RUN.volumes
            },
        ),
        sidecars=by(
            "volume",
            {
                volume.id: (
                    []
                    if volume.is_combined
                    else SOURCES[volume.origin].thickness_sidecars
                )
                for volume in RUN.volumes
            },
        ),
        duplicates=by(
            "volume",
            {
                volume.id: DUPLICATES if volume.is_stack else []
                for volume in RUN.volumes
            },
        ),
    output:
        volume=EXTRACTED,
    log:
        f"{RESULTS}/logs/extract/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/extract/{{volume}}.tsv"
    group:
        by("volume", GROUPS)
    conda:
        "../../envs/imaging.yaml"
    # Volumes are processed in parallel, each on one core: a second thread does not speed up a single volume.
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        settings=section("extract"),
        volume=by(
            "volume", {volume.id: volume.model_dump_json() for volume in RUN.volumes}
        ),
        format=by(
            "volume",
            {volume.id: format_of_volume(volume, SOURCES) for volume in RUN.volumes},
        ),
        code=code_version("pipeline.steps.extract"),
    message:
        "Extracting {wildcards.volume}"
    shell:
        "python -m pipeline.steps extract --input {input.source:q} --segmentation {input.segmentation:q} --sidecars {input.sidecars:q} --output {output.volume:q}"
        " --format {params.format} --duplicates {input.duplicates:q} --volume {params.volume:q} --settings {params.settings:q} > {log:q} 2>&1"


rule synthesise:
    input:
        source=by("volume", {volume.id: volume_file(volume) for volume in LABEL_MAPS}),
    output:
        volume=EXTRACTED,
    log:
        f"{RESULTS}/logs/synthesise/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/synthesise/{{volume}}.tsv"
    wildcard_constraints:
        volume="|".join(volume.id for volume in LABEL_MAPS) or "none",
    group:
        "volumes"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        settings=section("extract"),
        volume=by(
            "volume", {volume.id: volume.model_dump_json() for volume in LABEL_MAPS}
        ),
        format=by(
            "volume",
            {volume.id: format_of_volume(volume, SOURCES) for volume in LABEL_MAPS},
        ),
        seed=RUN.seed,
        code=code_version("pipeline.steps.synthesise"),
    message:
        "Synthesising an image from the label map {wildcards.volume}"
    shell:
        "python -m pipeline.steps synthesise --input {input.source:q} --output {output.volume:q} --format {params.format}"
        " --volume {params.volume:q} --seed {params.seed} --settings {params.settings:q} > {log:q} 2>&1"


# A label map matches both rules.
ruleorder: synthesise > extract
