# The consistency gate: restored volumes, degraded again, are compared with the low-resolution input.


rule gate:
    input:
        lr=by("shard", MEASURED),
        predictions=expand(RESTORED, method=METHODS, allow_missing=True),
    output:
        rows=f"{RESULTS}/gates/{{shard}}.csv",
    log:
        f"{RESULTS}/logs/gate/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/gate/{{shard}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        volumes=by("shard", NAMES),
        code=code_version("pipeline.steps.gate"),
    message:
        "Checking the consistency of every method's results with the low-resolution input of {params.volumes}"
    shell:
        "python -m pipeline.steps gate --lr {input.lr:q} --predictions {input.predictions:q} --output {output.rows:q} > {log:q} 2>&1"
