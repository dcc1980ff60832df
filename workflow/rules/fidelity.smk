# Proof against invention: what restorations add, lose or change, beyond likeness to the truth.

# Tissue volumes of heads and brains, and the agreement of diagnoses on pictures that came in folders of classes.


# Putting tables together is no work for a job of its own; localrule is not inherited through `use rule`.
localrules:
    gate_table,
    uncertainty_table,


TISSUE_VOLUMES = [
    volume for volume in RUN.evaluated_ids if not RUN.volume(volume).is_stack
]
CLASSED = {
    split: [volume.id for volume in STACKS if volume.split in splits]
    for split, splits in (("train", ("train",)), ("evaluated", EVALUATED_SPLITS))
}


rule tissue:
    input:
        hr=rules.extract.output.volume,
        predictions=predictions_of,
    output:
        rows=f"{RESULTS}/tissue/{{volume}}.csv",
    log:
        f"{RESULTS}/logs/tissue/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tissue/{{volume}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        tissues=tissues_option,
        code=code_version("pipeline.tissue"),
    message:
        "Measuring volumes of tissue in {wildcards.volume}"
    shell:
        "python -m pipeline tissue --hr {input.hr:q} --predictions {input.predictions:q} {params.tissues}"
        " --output {output.rows:q} > {log:q} 2>&1"


rule tissue_agreement:
    input:
        parts=expand(rules.tissue.output.rows, volume=TISSUE_VOLUMES),
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
        code=code_version("pipeline.tissue_agreement"),
    message:
        "Comparing volumes of tissue with the truth"
    shell:
        "python -m pipeline tissue_agreement --parts {input.parts:q} --tissue {output.tissue:q}"
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
        code=code_version("pipeline.diagnosis"),
    message:
        "Asking a classifier whether restored pictures keep their class"
    shell:
        "python -m pipeline diagnosis --train {input.train:q} --hr {input.hr:q} --predictions {input.predictions:q}"
        " --output {output.table:q} --seed {params.seed} --threads {params.training_threads} --settings {params.settings:q} > {log:q} 2>&1"


# Error maps without truth: where the delivered network disagrees with itself, and what that is worth.


rule calibrate:
    input:
        hr=extracted("val"),
        predictions=delivered_predictions(RUN.ids("val")),
        spreads=delivered_spreads(RUN.ids("val")),
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
        code=code_version("pipeline.calibrate"),
    message:
        "Finding what disagreement is worth on the validation volumes"
    shell:
        "python -m pipeline calibrate --hr {input.hr:q} --predictions {input.predictions:q} --spreads {input.spreads:q}"
        " --output {output.calibration:q} > {log:q} 2>&1"


rule uncertainty:
    input:
        hr=rules.extract.output.volume,
        prediction=delivered_prediction,
        spread=delivered_spread,
        calibration=rules.calibrate.output.calibration,
    output:
        volume=f"{RESULTS}/uncertainty/{{volume}}.safetensors",
        reliability=f"{RESULTS}/uncertainty/{{volume}}.reliability.csv",
        summary=f"{RESULTS}/uncertainty/{{volume}}.summary.csv",
    log:
        f"{RESULTS}/logs/uncertainty/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/uncertainty/{{volume}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        code=code_version("pipeline.uncertainty"),
    message:
        "Making the error map of {wildcards.volume}"
    shell:
        "python -m pipeline uncertainty --hr {input.hr:q} --prediction {input.prediction:q} --spread {input.spread:q}"
        " --calibration {input.calibration:q} --output {output.volume:q} --reliability {output.reliability:q}"
        " --summary {output.summary:q} > {log:q} 2>&1"


rule deliver_uncertainty:
    input:
        volume=rules.uncertainty.output.volume,
    output:
        volume=report(
            f"{RESULTS}/sr/{{volume}}.uncertainty{{suffix}}",
            caption="../report/uncertainty.rst",
            category="Super-resolved volumes",
            labels={"volume": "{volume}, expected error"},
        ),
    log:
        f"{RESULTS}/logs/deliver_uncertainty/{{volume}}{{suffix}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/deliver_uncertainty/{{volume}}{{suffix}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        code=code_version("pipeline.deliver_uncertainty"),
    message:
        "Delivering the error map of {wildcards.volume}"
    shell:
        "python -m pipeline deliver_uncertainty --input {input.volume:q} --output {output.volume:q} > {log:q} 2>&1"


rule reliability:
    input:
        parts=expand(rules.uncertainty.output.reliability, volume=RUN.evaluated_ids),
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
        code=code_version("pipeline.merge"),
    message:
        "Putting predicted and true errors into one table"
    shell:
        "python -m pipeline merge --parts {input.parts:q} --output {output.table:q} > {log:q} 2>&1"


use rule reliability as uncertainty_table with:
    input:
        parts=expand(rules.uncertainty.output.summary, volume=RUN.evaluated_ids),
    output:
        table=f"{RESULTS}/metrics/uncertainty.csv",
    log:
        f"{RESULTS}/logs/uncertainty_table.log",
    benchmark:
        f"{RESULTS}/benchmarks/uncertainty_table.tsv"


# Planted structures: what every method shows of lesions, vessels and spines whose places are known.


rule plant:
    input:
        hr=rules.extract.output.volume,
        lr=rules.degrade.output.volume,
        models=expand(
            f"{RESULTS}/models/{{method}}/generator.safetensors",
            method=NETWORK_METHODS,
        ),
        tuning=rules.tune.output.settings,
    output:
        rows=f"{RESULTS}/planted/{{volume}}.csv",
        places=f"{RESULTS}/planted/{{volume}}.places.csv",
    log:
        f"{RESULTS}/logs/plant/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plant/{{volume}}.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: RUN.infer.threads
    resources:
        gpu=RUN.resources.gpu,
        device=RUN.resources.device,
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        settings=section("planted"),
        infer=RUN.infer.model_dump_json(exclude={"deliver", "disagree_with"}),
        seed=RUN.seed,
        code=code_version("pipeline.plant"),
    message:
        "Planting structures in {wildcards.volume}"
    shell:
        "python -m pipeline plant --hr {input.hr:q} --lr {input.lr:q} --models {input.models:q} --tuning {input.tuning:q}"
        " --output {output.rows:q} --places {output.places:q} --seed {params.seed} --device {resources.device}"
        " --infer {params.infer:q} --settings {params.settings:q} > {log:q} 2>&1"


rule detection:
    input:
        parts=expand(rules.plant.output.rows, volume=RUN.ids(*PLANTED_SPLITS)),
        places=expand(rules.plant.output.places, volume=RUN.ids(*PLANTED_SPLITS)),
    output:
        table=report(
            f"{RESULTS}/metrics/planted.csv",
            caption="../report/planted.rst",
            category="Metrics",
            labels={"table": "planted structures"},
        ),
        rates=report(
            f"{RESULTS}/metrics/planted_rates.csv",
            caption="../report/planted_rates.rst",
            category="Metrics",
            labels={"table": "planted structures, methods compared"},
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
        code=code_version("pipeline.detection"),
    message:
        "Comparing what methods show of planted structures"
    shell:
        "python -m pipeline detection --parts {input.parts:q} --places {input.places:q} --deliver {params.deliver}"
        " --table {output.table:q} --rates {output.rates:q} --seed {params.seed} --settings {params.settings:q}"
        " > {log:q} 2>&1"


# The consistency gate: restored volumes, degraded again, against what was measured.


rule gate:
    input:
        lr=rules.degrade.output.volume,
        predictions=predictions_of,
    output:
        rows=f"{RESULTS}/gates/{{volume}}.csv",
    log:
        f"{RESULTS}/logs/gate/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/gate/{{volume}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        code=code_version("pipeline.gate"),
    message:
        "Comparing every method on {wildcards.volume} with what was measured"
    shell:
        "python -m pipeline gate --lr {input.lr:q} --predictions {input.predictions:q} --output {output.rows:q} > {log:q} 2>&1"


rule gate_table:
    input:
        gates=expand(rules.gate.output.rows, volume=RUN.evaluated_ids),
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
        code=code_version("pipeline.merge"),
    message:
        "Putting the gates of all volumes into one table"
    shell:
        "python -m pipeline merge --parts {input.gates:q} --output {output.table:q} > {log:q} 2>&1"
