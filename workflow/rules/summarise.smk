rule summarise:
    input:
        parts=expand(rules.evaluate.output.rows, shard=SHARDS),
    output:
        volumes=report(
            f"{RESULTS}/metrics/volumes.csv",
            caption="../report/volumes.rst",
            category="Metrics",
            labels={"table": "one value per volume"},
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
        "Writing the metric tables"
    shell:
        "python -m pipeline.steps summarise --parts {input.parts:q} --volumes {output.volumes:q} --slices {output.slices:q}"
        " --summary {output.summary:q} --comparisons {output.comparisons:q} --stacks {params.stacks:q} --seed {params.seed} --settings {params.settings:q} > {log:q} 2>&1"


rule summarise_fidelity:
    input:
        gates=expand(rules.gate.output.rows, shard=SHARDS),
        tissue=expand(rules.tissue.output.rows, shard=TISSUE_SHARDS),
        detections=expand(rules.insert_structures.output.rows, shard=TEST_SHARDS),
        places=expand(rules.insert_structures.output.places, shard=TEST_SHARDS),
        reliability=expand(
            rules.uncertainty.output.reliability,
            shard=SHARDS if HAS_ERROR_MAPS else [],
        ),
        uncertainty=expand(
            rules.uncertainty.output.summary, shard=SHARDS if HAS_ERROR_MAPS else []
        ),
    output:
        gates=report(
            f"{RESULTS}/metrics/gates.csv",
            caption="../report/gates.rst",
            category="Metrics",
            labels={"table": "consistency with the low-resolution input"},
        ),
        tissue=report(
            f"{RESULTS}/metrics/tissue.csv",
            caption="../report/tissue.rst",
            category="Metrics",
            labels={"table": "tissue volumes"},
        ),
        agreement=f"{RESULTS}/metrics/tissue_agreement.csv",
        inserted=report(
            f"{RESULTS}/metrics/inserted_structures.csv",
            caption="../report/inserted_structures.rst",
            category="Metrics",
            labels={"table": "inserted structures"},
        ),
        rates=report(
            f"{RESULTS}/metrics/detection_rates.csv",
            caption="../report/detection_rates.rst",
            category="Metrics",
            labels={"table": "inserted structures, methods compared"},
        ),
        reliability=report(
            f"{RESULTS}/metrics/reliability.csv",
            caption="../report/reliability.rst",
            category="Metrics",
            labels={"table": "errors by half-width of the uncertainty map"},
        ),
        uncertainty=f"{RESULTS}/metrics/uncertainty.csv",
    log:
        f"{RESULTS}/logs/summarise_fidelity.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise_fidelity.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        folder=subpath(output.gates, parent=True),
        settings=section("evaluate"),
        deliver=DELIVERED,
        seed=RUN.seed,
        code=code_version("pipeline.steps.summarise_fidelity"),
    message:
        "Writing the tables of gates, tissue volumes, inserted structures and uncertainty maps"
    shell:
        "python -m pipeline.steps summarise_fidelity --gates {input.gates:q} --tissue {input.tissue:q} --detections {input.detections:q}"
        " --places {input.places:q} --reliability {input.reliability:q} --uncertainty {input.uncertainty:q} --output {params.folder:q}"
        " --deliver {params.deliver} --seed {params.seed} --settings {params.settings:q} > {log:q} 2>&1"
