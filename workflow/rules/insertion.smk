# The lesion-insertion study: detection rates of structures inserted at known positions.

INSERTED_REFERENCES = {
    shard: expand(EXTRACTED, volume=volumes) for shard, volumes in TEST_SHARDS.items()
}
INSERTED_MEASURED = {
    shard: expand(DEGRADED, volume=volumes) for shard, volumes in TEST_SHARDS.items()
}


rule insert_structures:
    input:
        hr=by("shard", INSERTED_REFERENCES),
        lr=by("shard", INSERTED_MEASURED),
        models=expand(GENERATOR, method=NETWORKS),
        tuning=rules.tune.output.settings,
    output:
        rows=f"{RESULTS}/inserted/{{shard}}.csv",
        places=f"{RESULTS}/inserted/{{shard}}.places.csv",
    log:
        f"{RESULTS}/logs/insert_structures/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/insert_structures/{{shard}}.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: RUN.infer.threads
    resources:
        gpu=RUN.resources.gpu,
        device=RUN.resources.device,
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        volumes=by("shard", NAMES),
        settings=section("insertion"),
        infer=RUN.infer.model_dump_json(exclude={"deliver", "ensemble"}),
        seed=RUN.seed,
        code=code_version("pipeline.steps.insert_structures"),
    message:
        "Running the lesion-insertion study on {params.volumes}"
    shell:
        "python -m pipeline.steps insert_structures --hr {input.hr:q} --lr {input.lr:q} --models {input.models:q} --tuning {input.tuning:q}"
        " --output {output.rows:q} --places {output.places:q} --seed {params.seed} --device {resources.device}"
        " --memory-mb {resources.mem_mb} --infer {params.infer:q} --settings {params.settings:q} > {log:q} 2>&1"
