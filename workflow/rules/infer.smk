# Standard deviation of the delivered network's results over flips and transposes of a slice.
TTA_STD = f"{RESULTS}/uncertainty/tta_std/{{method}}/{{shard}}"


rule interpolate:
    input:
        lr=by("shard", MEASURED),
        tuning=rules.tune.output.settings,
    output:
        folders=directory(expand(RESTORED, method=BASELINES, allow_missing=True)),
    log:
        f"{RESULTS}/logs/interpolate/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/interpolate/{{shard}}.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        volumes=by("shard", NAMES),
        folder=subpath(output[0], parent=True),
        code=code_version("pipeline.steps.interpolate"),
    message:
        "Restoring {params.volumes} with every baseline"
    shell:
        "python -m pipeline.steps interpolate --lr {input.lr:q} --tuning {input.tuning:q} --output {params.folder:q}"
        " --threads {threads} > {log:q} 2>&1"


rule infer:
    input:
        model=GENERATOR,
        lr=by("shard", MEASURED),
        others=[],
    output:
        folder=directory(RESTORED),
    log:
        f"{RESULTS}/logs/infer/{{method}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/infer/{{method}}/{{shard}}.tsv"
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
        settings=section("infer"),
        tta_std=[],
        code=code_version("pipeline.steps.infer"),
    message:
        "Restoring {params.volumes} with {wildcards.method}"
    shell:
        "python -m pipeline.steps infer --model {input.model:q} --lr {input.lr:q} --output {output.folder:q}"
        " --tta-std {params.tta_std:q} --others {input.others:q} --device {resources.device}"
        " --memory-mb {resources.mem_mb} --settings {params.settings:q} > {log:q} 2>&1"


# The delivered network: the standard deviation is computed in the same pass.
use rule infer as infer_delivered with:
    input:
        model=GENERATOR,
        lr=by("shard", MEASURED),
        others=expand(GENERATOR, method=RUN.infer.ensemble),
    output:
        folder=report(
            directory(RESTORED),
            patterns=[
                f"{{name}}{suffix}" for suffix in sorted(set(SUFFIXES.values()))
            ],
            caption="../report/deliverable.rst",
            category="Super-resolved volumes",
            labels={"volume": "{name}"},
        ),
        tta_std=directory(TTA_STD),
    wildcard_constraints:
        method=DELIVERED if HAS_ERROR_MAPS else "none",
    params:
        volumes=by("shard", NAMES),
        settings=section("infer"),
        tta_std=TTA_STD,
        code=code_version("pipeline.steps.infer"),


ruleorder: infer_delivered > infer
