# The degradation mismatch matrix, computed on demand: snakemake --cores 8 mismatch
# Each network is trained with one degradation and restores the test volumes of all degradations.

MISMATCH = f"{RESULTS}/mismatch"
DEGRADATIONS = degradations(RUN.degradations, RUN.degrade)
DEGRADED_OTHERWISE = f"{MISMATCH}/{{degradation}}/degraded/{{volume}}.safetensors"


wildcard_constraints:
    degradation="|".join(DEGRADATIONS),


use rule degrade as degrade_otherwise with:
    output:
        volume=DEGRADED_OTHERWISE,
        forward_model=f"{MISMATCH}/{{degradation}}/degraded/{{volume}}.forward.json",
    log:
        f"{RESULTS}/logs/mismatch/{{degradation}}/degrade/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/degrade_otherwise/{{degradation}}/{{volume}}.tsv"
    params:
        settings=by(
            "degradation",
            {name: entry.model_dump_json() for name, entry in DEGRADATIONS.items()},
        ),
        seed=RUN.seed,
        code=code_version("pipeline.steps.degrade"),
    message:
        "Degrading {wildcards.volume} with {wildcards.degradation}"


use rule train as train_otherwise with:
    input:
        hr=expand(EXTRACTED, volume=RUN.ids("train")),
        lr=expand(DEGRADED_OTHERWISE, volume=RUN.ids("train"), allow_missing=True),
        val_hr=expand(EXTRACTED, volume=RUN.ids("val")),
        val_lr=expand(DEGRADED_OTHERWISE, volume=RUN.ids("val"), allow_missing=True),
        start=pretrained,
        teacher=[],
        perceptual=[],
    output:
        generator=f"{MISMATCH}/{{degradation}}/model/generator.safetensors",
        card=f"{MISMATCH}/{{degradation}}/model/model_card.md",
        history=f"{MISMATCH}/{{degradation}}/model/history.csv",
        events=f"{MISMATCH}/{{degradation}}/model/events.csv",
        samples=f"{MISMATCH}/{{degradation}}/model/samples.safetensors",
    log:
        f"{RESULTS}/logs/mismatch/{{degradation}}/train.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_otherwise/{{degradation}}.tsv"
    params:
        folder=subpath(output.generator, parent=True),
        checkpoints=f"{RESULTS}/checkpoints/mismatch-{{degradation}}",
        settings=TRAIN_SETTINGS,
        recipe=without_noise_map(RUN.recipe("rrdb_l1")).model_dump_json(),
        source=SOURCES[WEIGHTS].model_dump_json(),
        terms=TERMS,
        seed=RUN.seed,
        code=code_version("pipeline.steps.train"),
    message:
        "Training on {wildcards.degradation} only; follow the log with: tail -f {log}"


rule mismatch:
    input:
        hr=tested,
        lr=expand(
            DEGRADED_OTHERWISE,
            degradation=DEGRADATIONS,
            volume=RUN.ids(*TEST_SPLITS),
        ),
        models=expand(
            rules.train_otherwise.output.generator, degradation=list(DEGRADATIONS)
        ),
    output:
        table=f"{MISMATCH}/mismatch.csv",
        figure=report(
            f"{MISMATCH}/mismatch.png",
            caption="../report/mismatch.rst",
            category="Metrics",
            labels={"table": "networks on other degradations"},
        ),
    log:
        f"{RESULTS}/logs/mismatch/mismatch.log",
    benchmark:
        f"{RESULTS}/benchmarks/mismatch.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: RUN.infer.threads
    resources:
        gpu=RUN.resources.gpu,
        device=RUN.resources.device,
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        names=list(DEGRADATIONS),
        code=code_version("pipeline.steps.mismatch"),
    message:
        "Evaluating every network on every degradation"
    shell:
        "python -m pipeline.steps mismatch --hr {input.hr:q} --lr {input.lr:q} --models {input.models:q} --names {params.names:q}"
        " --output {output.table:q} --figure {output.figure:q} --device {resources.device} --threads {threads} > {log:q} 2>&1"
