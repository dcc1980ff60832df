rule interpolate:
    input:
        lr=of_shard(measured, SHARDS),
        tuning=rules.tune.output.settings,
    output:
        folder=directory(CLASSICAL),
    log:
        f"{RESULTS}/logs/interpolate/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/interpolate/{{shard}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        volumes=of_shard(named, SHARDS),
        code=code_version("pipeline.steps.interpolate"),
    message:
        "Restoring {params.volumes} with every baseline"
    shell:
        "python -m pipeline.steps interpolate --lr {input.lr:q} --tuning {input.tuning:q}"
        " --predictions {output.folder:q} --whole {output.folder:q} > {log:q} 2>&1"


rule infer:
    input:
        model=f"{RESULTS}/models/{{method}}/generator.safetensors",
        lr=of_shard(measured, SHARDS),
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
        volumes=of_shard(named, SHARDS),
        settings=section("infer"),
        predictions=written_to("folder", suffix_of),
        spreads=written_to("spread", stored),
        code=code_version("pipeline.steps.infer"),
    message:
        "Restoring {params.volumes} with {wildcards.method}"
    shell:
        "python -m pipeline.steps infer --model {input.model:q} --lr {input.lr:q} --output {params.predictions:q}"
        " --spread {params.spreads:q} --others {input.others:q} --whole {output:q} --device {resources.device}"
        " --memory-mb {resources.mem_mb} --settings {params.settings:q} > {log:q} 2>&1"


# Of the network whose result is delivered, its disagreement over views is found in the same pass.
use rule infer as infer_delivered with:
    input:
        model=f"{RESULTS}/models/{{method}}/generator.safetensors",
        lr=of_shard(measured, SHARDS),
        others=expand(
            f"{RESULTS}/models/{{other}}/generator.safetensors",
            other=RUN.infer.ensemble,
        ),
    output:
        folder=directory(RESTORED),
        spread=directory(SPREAD),
    wildcard_constraints:
        method=DOUBTED,


ruleorder: infer_delivered > infer


# Under the names that other programs rely on. A hard link takes no room.
for SHARD, VOLUMES in SHARDS.items():
    for KIND, METHODS in METHODS_BY_KIND.items():

        rule:
            name:
                f"publish_{KIND}_{SHARD}"
            input:
                restored_folders(KIND, SHARD),
            output:
                predictions=predictions_by(METHODS, VOLUMES),
            log:
                f"{RESULTS}/logs/publish_{KIND}/{SHARD}.log",
            benchmark:
                f"{RESULTS}/benchmarks/publish_{KIND}/{SHARD}.tsv"
            localrule: True
            conda:
                "../../envs/imaging.yaml"
            params:
                restored=restored_by(KIND, VOLUMES),
                code=code_version("pipeline.steps.publish"),
            message:
                f"Publishing what {KIND} methods made of {named(VOLUMES)}"
            shell:
                "python -m pipeline.steps publish --restored {params.restored:q} --output {output:q} > {log:q} 2>&1"

    rule:
        name:
            f"deliver_{SHARD}"
        input:
            folder=delivered_folder(SHARD),
        output:
            volumes=[
                report(
                    path,
                    caption="../report/deliverable.rst",
                    category="Super-resolved volumes",
                    labels={"volume": volume},
                )
                for volume, path in zip(VOLUMES, delivered(VOLUMES))
            ],
        log:
            f"{RESULTS}/logs/deliver/{SHARD}.log",
        benchmark:
            f"{RESULTS}/benchmarks/deliver/{SHARD}.tsv"
        localrule: True
        conda:
            "../../envs/imaging.yaml"
        params:
            restored=delivered_in(VOLUMES),
            code=code_version("pipeline.steps.publish"),
        message:
            f"Delivering {named(VOLUMES)} as restored by {RUN.infer.deliver}"
        shell:
            "python -m pipeline.steps publish --restored {params.restored:q} --output {output:q} > {log:q} 2>&1"
