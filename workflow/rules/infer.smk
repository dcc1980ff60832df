rule interpolate:
    input:
        lr=rules.degrade.output.volume,
        tuning=rules.tune.output.settings,
    output:
        predictions=expand(
            f"{PREDICTIONS}/{{method}}/{{{{volume}}}}{{{{suffix}}}}",
            method=CLASSICAL_METHODS,
        ),
    log:
        f"{RESULTS}/logs/interpolate/{{volume}}{{suffix}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/interpolate/{{volume}}{{suffix}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        folder=subpath(output[0], ancestor=2),
        code=code_version("pipeline.interpolate"),
    message:
        "Restoring {wildcards.volume} with every classical method"
    shell:
        "python -m pipeline interpolate --lr {input.lr:q} --tuning {input.tuning:q}"
        " --predictions {params.folder:q} > {log:q} 2>&1"


rule infer:
    input:
        model=f"{RESULTS}/models/{{method}}/generator.safetensors",
        lr=rules.degrade.output.volume,
        others=[],
    output:
        prediction=f"{PREDICTIONS}/{{method}}/{{volume}}{{suffix}}",
    log:
        f"{RESULTS}/logs/infer/{{method}}/{{volume}}{{suffix}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/infer/{{method}}/{{volume}}{{suffix}}.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: RUN.infer.threads
    resources:
        gpu=RUN.resources.gpu,
        device=RUN.resources.device,
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        settings=section("infer"),
        spread=spread_options,
        code=code_version("pipeline.infer"),
    message:
        "Restoring {wildcards.volume} with {wildcards.method}"
    shell:
        "python -m pipeline infer --model {input.model:q} --lr {input.lr:q} --output {output.prediction:q}"
        " {params.spread} --device {resources.device} --settings {params.settings:q} > {log:q} 2>&1"


# Of the network whose result is delivered, its disagreement over views is found in the same pass.
use rule infer as infer_delivered with:
    input:
        model=f"{RESULTS}/models/{{method}}/generator.safetensors",
        lr=rules.degrade.output.volume,
        others=expand(
            f"{RESULTS}/models/{{other}}/generator.safetensors",
            other=RUN.infer.disagree_with,
        ),
    output:
        prediction=f"{PREDICTIONS}/{{method}}/{{volume}}{{suffix}}",
        spread=SPREAD,
    wildcard_constraints:
        method=DOUBTED,


ruleorder: infer_delivered > infer


rule deliver:
    input:
        prediction=f"{PREDICTIONS}/{RUN.infer.deliver}/{{volume}}{{suffix}}",
    output:
        volume=report(
            f"{RESULTS}/sr/{{volume}}{{suffix}}",
            caption="../report/deliverable.rst",
            category="Super-resolved volumes",
            labels={"volume": "{volume}"},
        ),
    log:
        f"{RESULTS}/logs/deliver/{{volume}}{{suffix}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/deliver/{{volume}}{{suffix}}.tsv"
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    message:
        f"Delivering {{wildcards.volume}} as restored by {RUN.infer.deliver}"
    shell:
        "(cp {input.prediction:q} {output.volume:q}.partial && mv {output.volume:q}.partial {output.volume:q}) > {log:q} 2>&1"
