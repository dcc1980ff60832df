# Uncertainty maps: half-widths of prediction intervals, calibrated on the validation volumes.

ERROR_MAPS = f"{RESULTS}/uncertainty/error_maps/{{shard}}"


rule calibrate:
    input:
        model=expand(GENERATOR, method=DELIVERED),
        hr=expand(EXTRACTED, volume=RUN.ids("val")),
        lr=expand(DEGRADED, volume=RUN.ids("val")),
        predictions=expand(RESTORED, method=DELIVERED, shard=VAL_SHARDS),
        tta_std=expand(TTA_STD, method=DELIVERED, shard=VAL_SHARDS),
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
        code=code_version("pipeline.steps.calibrate"),
    message:
        "Calibrating the uncertainty maps on the validation volumes"
    shell:
        "python -m pipeline.steps calibrate --model {input.model:q} --hr {input.hr:q} --lr {input.lr:q} --predictions {input.predictions:q} --tta-std {input.tta_std:q}"
        " --output {output.calibration:q} > {log:q} 2>&1"


rule uncertainty:
    input:
        hr=by("shard", REFERENCES),
        lr=by("shard", MEASURED),
        predictions=expand(RESTORED, method=DELIVERED, allow_missing=True),
        tta_std=expand(TTA_STD, method=DELIVERED, allow_missing=True),
        calibration=rules.calibrate.output.calibration,
    output:
        folder=directory(f"{RESULTS}/uncertainty/calibrated/{{shard}}"),
        maps=report(
            directory(ERROR_MAPS),
            patterns=[
                f"{{name}}.uncertainty{suffix}"
                for suffix in sorted(set(SUFFIXES.values()))
            ],
            caption="../report/uncertainty.rst",
            category="Super-resolved volumes",
            labels={"volume": "{name}, uncertainty"},
        ),
        reliability=f"{RESULTS}/uncertainty/{{shard}}.reliability.csv",
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
        volumes=by("shard", NAMES),
        code=code_version("pipeline.steps.uncertainty"),
    message:
        "Computing the uncertainty maps of {params.volumes}"
    shell:
        "python -m pipeline.steps uncertainty --hr {input.hr:q} --lr {input.lr:q} --predictions {input.predictions:q} --tta-std {input.tta_std:q}"
        " --calibration {input.calibration:q} --output {output.folder:q} --maps {output.maps:q}"
        " --reliability {output.reliability:q} --summary {output.summary:q} > {log:q} 2>&1"
