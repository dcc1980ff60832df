# Proof against invention: what restorations add, lose or change, beyond likeness to the reference.

# Tissue volumes of heads and brains, and the agreement of diagnoses on pictures that came in folders of classes.


# Putting tables together is no work for a job of its own; localrule is not inherited through `use rule`.
localrules:
    gate_table,
    uncertainty_table,


TISSUE_VOLUMES = [
    volume for volume in RUN.evaluated_ids if not RUN.volume(volume).is_stack
]
TISSUE_SHARDS = RUN.sharded(TISSUE_VOLUMES)
VAL_SHARDS = RUN.sharded(RUN.ids("val"))
INSERTED_SHARDS = RUN.sharded(RUN.ids(*TEST_SPLITS))
CLASSED = {
    split: [volume.id for volume in STACKS if volume.split in splits]
    for split, splits in (("train", ("train",)), ("evaluated", EVALUATED_SPLITS))
}


rule tissue:
    input:
        hr=of_shard(references, TISSUE_SHARDS),
        classical=CLASSICAL,
        networks=expand(RESTORED, method=NETWORK_METHODS, allow_missing=True),
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
        volumes=of_shard(named, TISSUE_SHARDS),
        predictions=restored_files(TISSUE_SHARDS),
        tissues=tissues_of,
        code=code_version("pipeline.steps.tissue"),
    message:
        "Measuring volumes of tissue in {params.volumes}"
    shell:
        "python -m pipeline.steps tissue --hr {input.hr:q} --predictions {params.predictions:q} --tissues {params.tissues}"
        " --output {output.rows:q} > {log:q} 2>&1"


rule tissue_agreement:
    input:
        parts=expand(rules.tissue.output.rows, shard=TISSUE_SHARDS),
    output:
        tissue=report(
            f"{RESULTS}/metrics/tissue.csv",
            caption="../report/tissue.rst",
            category="Metrics",
            labels={"table": "volumes of tissue"},
        ),
        agreement=f"{RESULTS}/metrics/tissue_agreement.csv",
    log:
        f"{RESULTS}/logs/tissue_agreement.log",
    benchmark:
        f"{RESULTS}/benchmarks/tissue_agreement.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        settings=section("evaluate"),
        code=code_version("pipeline.steps.tissue_agreement"),
    message:
        "Comparing volumes of tissue with the reference"
    shell:
        "python -m pipeline.steps tissue_agreement --parts {input.parts:q} --tissue {output.tissue:q}"
        " --agreement {output.agreement:q} --settings {params.settings:q} > {log:q} 2>&1"


rule diagnosis:
    input:
        train=expand(rules.extract.output.volume, volume=CLASSED["train"]),
        hr=expand(rules.extract.output.volume, volume=CLASSED["evaluated"]),
        predictions=all_predictions(CLASSED["evaluated"]),
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
        # The weights hang on the number of threads, and it on the configuration alone.
        training_threads=RUN.train.threads,
        settings=section("evaluate"),
        seed=RUN.seed,
        code=code_version("pipeline.steps.diagnosis"),
    message:
        "Asking a classifier whether restored pictures keep their class"
    shell:
        "python -m pipeline.steps diagnosis --train {input.train:q} --hr {input.hr:q} --predictions {input.predictions:q}"
        " --output {output.table:q} --seed {params.seed} --threads {params.training_threads} --settings {params.settings:q} > {log:q} 2>&1"


# Error maps without reference: where the delivered network disagrees with itself, and what that is worth.


rule calibrate:
    input:
        hr=extracted("val"),
        predictions=predictions_by([RUN.infer.deliver], RUN.ids("val")),
        spreads=expand(SPREAD, method=DOUBTED, shard=VAL_SHARDS),
    output:
        calibration=f"{RESULTS}/uncertainty/calibration.json",
    log:
        f"{RESULTS}/logs/calibrate.log",
    benchmark:
        f"{RESULTS}/benchmarks/calibrate.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        spreads=spreads_of_val,
        code=code_version("pipeline.steps.calibrate"),
    message:
        "Finding what disagreement is worth on the validation volumes"
    shell:
        "python -m pipeline.steps calibrate --hr {input.hr:q} --predictions {input.predictions:q} --spreads {params.spreads:q}"
        " --output {output.calibration:q} > {log:q} 2>&1"


rule uncertainty:
    input:
        hr=of_shard(references, SHARDS),
        folder=expand(RESTORED, method=DOUBTED, allow_missing=True),
        spreads=expand(SPREAD, method=DOUBTED, allow_missing=True),
        calibration=rules.calibrate.output.calibration,
    output:
        folder=directory(DISAGREEMENT),
        reliability=RELIABILITY,
        summary=f"{RESULTS}/uncertainty/{{shard}}.summary.csv",
    log:
        f"{RESULTS}/logs/uncertainty/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/uncertainty/{{shard}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        volumes=of_shard(named, SHARDS),
        predictions=read_from("folder", suffix_of),
        spreads=read_from("spreads", stored),
        maps=written_to("folder", stored),
        code=code_version("pipeline.steps.uncertainty"),
    message:
        "Making the error map of {params.volumes}"
    shell:
        "python -m pipeline.steps uncertainty --hr {input.hr:q} --prediction {params.predictions:q} --spread {params.spreads:q}"
        " --calibration {input.calibration:q} --output {params.maps:q} --whole {output.folder:q} --reliability {output.reliability:q}"
        " --summary {output.summary:q} > {log:q} 2>&1"


for SHARD, VOLUMES in SHARDS.items():

    rule:
        name:
            f"deliver_uncertainty_{SHARD}"
        input:
            folder=DISAGREEMENT.format(shard=SHARD),
        output:
            volumes=[
                report(
                    path,
                    caption="../report/uncertainty.rst",
                    category="Super-resolved volumes",
                    labels={"volume": f"{volume}, expected error"},
                )
                for volume, path in zip(VOLUMES, error_maps(VOLUMES))
            ],
        log:
            f"{RESULTS}/logs/deliver_uncertainty/{SHARD}.log",
        benchmark:
            f"{RESULTS}/benchmarks/deliver_uncertainty/{SHARD}.tsv"
        conda:
            "../../envs/imaging.yaml"
        threads: 1
        resources:
            mem_mb=memory_mb,
            runtime=runtime_minutes,
        params:
            maps=maps_of(VOLUMES),
            code=code_version("pipeline.steps.deliver_uncertainty"),
        message:
            f"Delivering the error map of {named(VOLUMES)}"
        shell:
            "python -m pipeline.steps deliver_uncertainty --input {params.maps:q} --output {output.volumes:q} > {log:q} 2>&1"


rule reliability:
    input:
        parts=expand(rules.uncertainty.output.reliability, shard=SHARDS),
    output:
        table=report(
            f"{RESULTS}/metrics/reliability.csv",
            caption="../report/reliability.rst",
            category="Metrics",
            labels={"table": "predicted and true errors"},
        ),
    log:
        f"{RESULTS}/logs/reliability.log",
    benchmark:
        f"{RESULTS}/benchmarks/reliability.tsv"
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        code=code_version("pipeline.steps.merge"),
    message:
        "Putting predicted and true errors into one table"
    shell:
        "python -m pipeline.steps merge --parts {input.parts:q} --output {output.table:q} > {log:q} 2>&1"


use rule reliability as uncertainty_table with:
    input:
        parts=expand(rules.uncertainty.output.summary, shard=SHARDS),
    output:
        table=f"{RESULTS}/metrics/uncertainty.csv",
    log:
        f"{RESULTS}/logs/uncertainty_table.log",
    benchmark:
        f"{RESULTS}/benchmarks/uncertainty_table.tsv"


# Inserted structures: what every method shows of lesions, vessels and spines whose places are known.


rule insert:
    input:
        hr=of_shard(references, INSERTED_SHARDS),
        lr=of_shard(measured, INSERTED_SHARDS),
        models=expand(
            f"{RESULTS}/models/{{method}}/generator.safetensors",
            method=NETWORK_METHODS,
        ),
        tuning=rules.tune.output.settings,
    output:
        rows=f"{RESULTS}/inserted/{{shard}}.csv",
        places=f"{RESULTS}/inserted/{{shard}}.places.csv",
    log:
        f"{RESULTS}/logs/insert/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/insert/{{shard}}.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: RUN.infer.threads
    resources:
        gpu=RUN.resources.gpu,
        device=RUN.resources.device,
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        volumes=of_shard(named, INSERTED_SHARDS),
        settings=section("insertion"),
        infer=RUN.infer.model_dump_json(exclude={"deliver", "ensemble"}),
        seed=RUN.seed,
        code=code_version("pipeline.steps.insert_structures"),
    message:
        "Inserting structures in {params.volumes}"
    shell:
        "python -m pipeline.steps insert_structures --hr {input.hr:q} --lr {input.lr:q} --models {input.models:q} --tuning {input.tuning:q}"
        " --output {output.rows:q} --places {output.places:q} --seed {params.seed} --device {resources.device}"
        " --memory-mb {resources.mem_mb}"
        " --infer {params.infer:q} --settings {params.settings:q} > {log:q} 2>&1"


rule detection:
    input:
        parts=expand(rules.insert.output.rows, shard=INSERTED_SHARDS),
        places=expand(rules.insert.output.places, shard=INSERTED_SHARDS),
    output:
        table=report(
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
    log:
        f"{RESULTS}/logs/detection.log",
    benchmark:
        f"{RESULTS}/benchmarks/detection.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        settings=section("evaluate"),
        deliver=RUN.infer.deliver,
        seed=RUN.seed,
        code=code_version("pipeline.steps.detection_rates"),
    message:
        "Comparing what methods show of inserted structures"
    shell:
        "python -m pipeline.steps detection_rates --parts {input.parts:q} --places {input.places:q} --deliver {params.deliver}"
        " --table {output.table:q} --rates {output.rates:q} --seed {params.seed} --settings {params.settings:q}"
        " > {log:q} 2>&1"


# The consistency gate: restored volumes, degraded again, against what was measured.


rule gate:
    input:
        lr=of_shard(measured, SHARDS),
        classical=CLASSICAL,
        networks=expand(RESTORED, method=NETWORK_METHODS, allow_missing=True),
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
        volumes=of_shard(named, SHARDS),
        predictions=restored_files(SHARDS),
        code=code_version("pipeline.steps.gate"),
    message:
        "Comparing every method on {params.volumes} with what was measured"
    shell:
        "python -m pipeline.steps gate --lr {input.lr:q} --predictions {params.predictions:q} --output {output.rows:q} > {log:q} 2>&1"


rule gate_table:
    input:
        gates=expand(rules.gate.output.rows, shard=SHARDS),
    output:
        table=report(
            f"{RESULTS}/metrics/gates.csv",
            caption="../report/gates.rst",
            category="Metrics",
            labels={"table": "agreement with the measurement"},
        ),
    log:
        f"{RESULTS}/logs/gate_table.log",
    benchmark:
        f"{RESULTS}/benchmarks/gate_table.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        code=code_version("pipeline.steps.merge"),
    message:
        "Putting the gates of all volumes into one table"
    shell:
        "python -m pipeline.steps merge --parts {input.gates:q} --output {output.table:q} > {log:q} 2>&1"
