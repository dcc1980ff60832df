# Neurons that a watershed on membranes separates, for volumes with a segmentation of neurons.

WITH_NEURONS = [volume for volume in RUN.evaluated_ids if RUN.volume(volume).neurons]


rule membranes:
    input:
        hr=expand(EXTRACTED, volume=WITH_NEURONS),
        neurons=[source_file(RUN.volume(volume).neurons) for volume in WITH_NEURONS],
        predictions=expand(RESTORED, method=METHODS, shard=RUN.sharded(WITH_NEURONS)),
    output:
        rows=f"{RESULTS}/metrics/membranes.csv",
        table=report(
            f"{RESULTS}/metrics/membrane_agreement.csv",
            caption="../report/membranes.rst",
            category="Metrics",
            labels={"table": "segmentation of neurons"},
        ),
    log:
        f"{RESULTS}/logs/membranes.log",
    benchmark:
        f"{RESULTS}/benchmarks/membranes.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        settings=section("evaluate"),
        seed=RUN.seed,
        code=code_version("pipeline.steps.membranes"),
    message:
        "Segmenting neurons in restored volumes and references"
    shell:
        "python -m pipeline.steps membranes --hr {input.hr:q} --neurons {input.neurons:q} --predictions {input.predictions:q}"
        " --rows {output.rows:q} --output {output.table:q} --seed {params.seed} --settings {params.settings:q} > {log:q} 2>&1"


MEMBRANES = rules.membranes.output if WITH_NEURONS else []
