rule interpolate:
    input:
        lr=rules.degrade.output.volume,
        tuning=rules.tune.output.settings,
    output:
        predictions=expand(
            f"{PREDICTIONS}/{{method}}/{{{{volume}}}}.nii.gz", method=CLASSICAL_METHODS
        ),
    log:
        f"{RESULTS}/logs/interpolate/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/interpolate/{{volume}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=RUN.resources.memory_mb,
        runtime=RUN.resources.runtime_minutes,
    params:
        folder=subpath(output[0], ancestor=2),
        code=code_version("pipeline.interpolate"),
    message:
        "Restoring {wildcards.volume} with every classical method"
    shell:
        "python -m pipeline interpolate --lr {input.lr:q} --tuning {input.tuning:q}"
        " --predictions {params.folder:q} > {log:q} 2>&1"


# Pictures are restored like volumes, but written as TIFF.
use rule interpolate as interpolate_stack with:
    output:
        predictions=expand(
            f"{PREDICTIONS}/{{method}}/{{{{volume}}}}.tiff", method=CLASSICAL_METHODS
        ),


rule infer:
    input:
        model=f"{RESULTS}/models/{{method}}/generator.safetensors",
        lr=rules.degrade.output.volume,
    output:
        prediction=f"{PREDICTIONS}/{{method}}/{{volume}}.nii.gz",
    log:
        f"{RESULTS}/logs/infer/{{method}}/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/infer/{{method}}/{{volume}}.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: RUN.infer.threads
    resources:
        gpu=RUN.resources.gpu,
        device=RUN.resources.device,
        mem_mb=RUN.resources.memory_mb,
        runtime=RUN.resources.runtime_minutes,
    params:
        settings=section("infer"),
        code=code_version("pipeline.infer"),
    message:
        "Restoring {wildcards.volume} with {wildcards.method}"
    shell:
        "python -m pipeline infer --model {input.model:q} --lr {input.lr:q} --output {output.prediction:q}"
        " --device {resources.device} --settings {params.settings:q} > {log:q} 2>&1"


use rule infer as infer_stack with:
    output:
        prediction=f"{PREDICTIONS}/{{method}}/{{volume}}.tiff",


rule deliver:
    input:
        prediction=f"{PREDICTIONS}/{RUN.infer.deliver}/{{volume}}.nii.gz",
    output:
        volume=report(
            f"{RESULTS}/sr/{{volume}}.nii.gz",
            caption="../report/deliverable.rst",
            category="Super-resolved volumes",
            labels={"volume": "{volume}"},
        ),
    log:
        f"{RESULTS}/logs/deliver/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/deliver/{{volume}}.tsv"
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    message:
        f"Delivering {{wildcards.volume}} as restored by {RUN.infer.deliver}"
    shell:
        "(cp {input.prediction:q} {output.volume:q}.partial && mv {output.volume:q}.partial {output.volume:q}) > {log:q} 2>&1"


use rule deliver as deliver_stack with:
    input:
        prediction=f"{PREDICTIONS}/{RUN.infer.deliver}/{{volume}}.tiff",
    output:
        volume=report(
            f"{RESULTS}/sr/{{volume}}.tiff",
            caption="../report/deliverable.rst",
            category="Super-resolved volumes",
            labels={"volume": "{volume}"},
        ),
