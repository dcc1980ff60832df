rule extract:
    input:
        source=volume_source,
    output:
        volume=f"{RESULTS}/extracted/{{volume}}.safetensors",
    log:
        f"{RESULTS}/logs/extract/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/extract/{{volume}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=RUN.resources.memory_mb,
        runtime=RUN.resources.runtime_minutes,
    params:
        settings=section("extract"),
        volume=volume_entry,
        code=code_version("pipeline.extract"),
    message:
        "Extracting {wildcards.volume}"
    shell:
        "python -m pipeline extract --input {input.source:q} --output {output.volume:q}"
        " --volume {params.volume:q} --settings {params.settings:q} > {log:q} 2>&1"
