# Proof against invention: what restorations add, lose or change, beyond likeness to the truth.

# Tissue volumes of heads and brains, and the agreement of diagnoses on pictures that came in folders of classes.

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
        mem_mb=RUN.resources.memory_mb,
        runtime=RUN.resources.runtime_minutes,
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
        mem_mb=RUN.resources.memory_mb,
        runtime=RUN.resources.runtime_minutes,
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
        mem_mb=RUN.resources.memory_mb,
        runtime=RUN.resources.runtime_minutes,
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
