rule denoise:
    input:
        volumes=of_shard(references, SHARDS),
    output:
        folder=directory(DENOISED),
    log:
        f"{RESULTS}/logs/denoise/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/denoise/{{shard}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        volumes=of_shard(named, SHARDS),
        files=written_to("folder", stored),
        code=code_version("pipeline.steps.denoise"),
    message:
        "Denoising the reference of {params.volumes}, as a further reference"
    shell:
        "python -m pipeline.steps denoise --input {input.volumes:q} --output {params.files:q} --whole {output.folder:q} > {log:q} 2>&1"


rule evaluate:
    input:
        hr=of_shard(references, SHARDS),
        lr=of_shard(measured, SHARDS),
        denoised=DENOISED if "denoised" in RUN.evaluate.regions else [],
        features=PERCEPTUAL if RUN.evaluate.needs_features else [],
        classical=CLASSICAL,
        networks=expand(RESTORED, method=NETWORK_METHODS, allow_missing=True),
    output:
        rows=f"{RESULTS}/metrics/parts/{{shard}}.csv",
    log:
        f"{RESULTS}/logs/evaluate/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate/{{shard}}.tsv"
    conda:
        "../../envs/imaging.yaml"
        if not RUN.evaluate.needs_features
        else "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        volumes=of_shard(named, SHARDS),
        predictions=restored_files(SHARDS),
        denoised=read_from("denoised", stored),
        settings=section("evaluate"),
        code=code_version("pipeline.steps.evaluate"),
    message:
        "Measuring every method on {params.volumes}"
    shell:
        "python -m pipeline.steps evaluate --hr {input.hr:q} --lr {input.lr:q} --denoised {params.denoised:q} --features {input.features:q} --predictions {params.predictions:q}"
        " --output {output.rows:q} --settings {params.settings:q} > {log:q} 2>&1"


rule summarise:
    input:
        parts=expand(rules.evaluate.output.rows, shard=SHARDS),
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
        code=code_version("pipeline.steps.summarise"),
    message:
        "Putting all measurements into the tables"
    shell:
        "python -m pipeline.steps summarise --parts {input.parts:q} --volumes {output.volumes:q} --slices {output.slices:q}"
        " --summary {output.summary:q} --comparisons {output.comparisons:q} --stacks {params.stacks:q} --seed {params.seed} --settings {params.settings:q} > {log:q} 2>&1"
