rule denoise:
    input:
        volume=rules.extract.output.volume,
    output:
        volume=f"{RESULTS}/denoised/{{volume}}.safetensors",
    log:
        f"{RESULTS}/logs/denoise/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/denoise/{{volume}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        code=code_version("pipeline.denoise"),
    message:
        "Denoising the truth of {wildcards.volume}, as a further reference"
    shell:
        "python -m pipeline denoise --input {input.volume:q} --output {output.volume:q} > {log:q} 2>&1"


rule evaluate:
    input:
        hr=rules.extract.output.volume,
        lr=rules.degrade.output.volume,
        denoised=(
            rules.denoise.output.volume if "denoised" in RUN.evaluate.regions else []
        ),
        features=PERCEPTUAL if "vgg_distance" in RUN.evaluate.metrics else [],
        predictions=predictions_of,
    output:
        rows=f"{RESULTS}/metrics/parts/{{volume}}.csv",
    log:
        f"{RESULTS}/logs/evaluate/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate/{{volume}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        settings=section("evaluate"),
        code=code_version("pipeline.evaluate"),
    message:
        "Measuring every method on {wildcards.volume}"
    shell:
        "python -m pipeline evaluate --hr {input.hr:q} --lr {input.lr:q} --denoised {input.denoised:q} --features {input.features:q} --predictions {input.predictions:q}"
        " --output {output.rows:q} --settings {params.settings:q} > {log:q} 2>&1"


rule summarise:
    input:
        parts=expand(rules.evaluate.output.rows, volume=RUN.evaluated_ids),
    output:
        volumes=report(
            f"{RESULTS}/metrics/volumes.csv",
            caption="../report/volumes.rst",
            category="Metrics",
            labels={"table": "one value a volume"},
        ),
        slices=f"{RESULTS}/metrics/slices.csv",
        summary=report(
            f"{RESULTS}/metrics/summary.csv",
            caption="../report/summary.rst",
            category="Metrics",
            labels={"table": "summary with intervals"},
        ),
        comparisons=report(
            f"{RESULTS}/metrics/comparisons.csv",
            caption="../report/comparisons.rst",
            category="Metrics",
            labels={"table": "every network against every baseline"},
        ),
    log:
        f"{RESULTS}/logs/summarise.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        settings=section("evaluate"),
        seed=RUN.seed,
        stacks=[volume.id for volume in STACKS],
        code=code_version("pipeline.summarise"),
    message:
        "Putting all measurements into the tables"
    shell:
        "python -m pipeline summarise --parts {input.parts:q} --volumes {output.volumes:q} --slices {output.slices:q}"
        " --summary {output.summary:q} --comparisons {output.comparisons:q} --stacks {params.stacks:q} --seed {params.seed} --settings {params.settings:q} > {log:q} 2>&1"
