# Tissue volumes of heads and brains, and the agreement of diagnoses on pictures in class folders.

TISSUE_REFERENCES = {
    shard: expand(EXTRACTED, volume=volumes) for shard, volumes in TISSUE_SHARDS.items()
}
# Order of the tissues of skull-stripped volumes; "unnamed" for others.
TISSUES = {
    shard: [RUN.volume(volume).tissues or "unnamed" for volume in volumes]
    for shard, volumes in TISSUE_SHARDS.items()
}
STACK_IDS = {volume.id for volume in STACKS}
CLASSED = [volume for volume in RUN.evaluated_ids if volume in STACK_IDS]
TAUGHT = [volume for volume in RUN.ids("train") if volume in STACK_IDS]


rule tissue:
    input:
        hr=by("shard", TISSUE_REFERENCES),
        predictions=expand(RESTORED, method=METHODS, allow_missing=True),
    output:
        rows=f"{RESULTS}/tissue/{{shard}}.csv",
    log:
        f"{RESULTS}/logs/tissue/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tissue/{{shard}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        volumes=by("shard", NAMES),
        tissues=by("shard", TISSUES),
        code=code_version("pipeline.steps.tissue"),
    message:
        "Measuring tissue volumes of {params.volumes}"
    shell:
        "python -m pipeline.steps tissue --hr {input.hr:q} --predictions {input.predictions:q} --tissues {params.tissues}"
        " --output {output.rows:q} > {log:q} 2>&1"


rule diagnosis:
    input:
        train=expand(EXTRACTED, volume=TAUGHT),
        hr=expand(EXTRACTED, volume=CLASSED),
        predictions=expand(RESTORED, method=METHODS, shard=RUN.sharded(CLASSED)),
    output:
        table=report(
            f"{RESULTS}/metrics/diagnosis.csv",
            caption="../report/diagnosis.rst",
            category="Metrics",
            labels={"table": "agreement of diagnoses"},
        ),
    log:
        f"{RESULTS}/logs/diagnosis.log",
    benchmark:
        f"{RESULTS}/benchmarks/diagnosis.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: RUN.train.threads
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        # The weights depend on the number of threads, which therefore depends on the configuration only.
        training_threads=RUN.train.threads,
        settings=section("evaluate"),
        seed=RUN.seed,
        code=code_version("pipeline.steps.diagnosis"),
    message:
        "Comparing the predicted classes of restored pictures and references"
    shell:
        "python -m pipeline.steps diagnosis --train {input.train:q} --hr {input.hr:q} --predictions {input.predictions:q}"
        " --output {output.table:q} --seed {params.seed} --threads {params.training_threads} --settings {params.settings:q} > {log:q} 2>&1"


DIAGNOSIS = rules.diagnosis.output if TAUGHT and CLASSED else []
