# Cells that are found in restored volumes, for volumes with the size of their cells.

WITH_CELLS = [volume for volume in RUN.evaluated_ids if RUN.volume(volume).cell_um]


rule cells:
    input:
        hr=expand(EXTRACTED, volume=WITH_CELLS),
        lr=expand(DEGRADED, volume=WITH_CELLS),
        predictions=expand(RESTORED, method=METHODS, shard=RUN.sharded(WITH_CELLS)),
    output:
        rows=f"{RESULTS}/metrics/cells.csv",
        table=report(
            f"{RESULTS}/metrics/cell_agreement.csv",
            caption="../report/cells.rst",
            category="Metrics",
            labels={"table": "cells"},
        ),
    log:
        f"{RESULTS}/logs/cells.log",
    benchmark:
        f"{RESULTS}/benchmarks/cells.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        diameters=[RUN.volume(volume).cell_um for volume in WITH_CELLS],
        settings=section("evaluate"),
        code=code_version("pipeline.steps.cells"),
    message:
        "Detecting cells in restored volumes and references"
    shell:
        "python -m pipeline.steps cells --hr {input.hr:q} --lr {input.lr:q} --diameters-um {params.diameters} --predictions"
        " {input.predictions:q} --rows {output.rows:q} --output {output.table:q} --settings {params.settings:q} > {log:q} 2>&1"


CELLS = rules.cells.output if WITH_CELLS else []
