rule degrade:
    input:
        volume=EXTRACTED,
    output:
        volume=DEGRADED,
        forward_model=f"{RESULTS}/degraded/{{volume}}.forward.json",
    log:
        f"{RESULTS}/logs/degrade/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/degrade/{{volume}}.tsv"
    group:
        by("volume", GROUPS)
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        settings=section("degrade"),
        seed=RUN.seed,
        code=code_version("pipeline.steps.degrade"),
    message:
        "Degrading {wildcards.volume}"
    shell:
        "python -m pipeline.steps degrade --input {input.volume:q} --output {output.volume:q}"
        " --forward-model {output.forward_model:q} --seed {params.seed} --settings {params.settings:q} > {log:q} 2>&1"
