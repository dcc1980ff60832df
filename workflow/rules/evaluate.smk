rule denoise:
    input:
        volumes=by("shard", REFERENCES),
    output:
        folder=directory(f"{RESULTS}/denoised/{{shard}}"),
    log:
        f"{RESULTS}/logs/denoise/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/denoise/{{shard}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        volumes=by("shard", NAMES),
        code=code_version("pipeline.steps.denoise"),
    message:
        "Denoising the reference of {params.volumes}"
    shell:
        "python -m pipeline.steps denoise --input {input.volumes:q} --output {output.folder:q} > {log:q} 2>&1"


rule evaluate:
    input:
        hr=by("shard", REFERENCES),
        lr=by("shard", MEASURED),
        predictions=expand(RESTORED, method=METHODS, allow_missing=True),
        denoised=(
            rules.denoise.output.folder if "denoised" in RUN.evaluate.regions else []
        ),
        features=PERCEPTUAL if RUN.evaluate.needs_features else [],
    output:
        rows=f"{RESULTS}/metrics/parts/{{shard}}.csv",
    log:
        f"{RESULTS}/logs/evaluate/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate/{{shard}}.tsv"
    conda:
        "../../envs/learning.yaml"
        if RUN.evaluate.needs_features
        else "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        volumes=by("shard", NAMES),
        settings=section("evaluate"),
        code=code_version("pipeline.steps.evaluate"),
    message:
        "Evaluating every method on {params.volumes}"
    shell:
        "python -m pipeline.steps evaluate --hr {input.hr:q} --lr {input.lr:q} --denoised {input.denoised:q} --features {input.features:q}"
        " --predictions {input.predictions:q} --output {output.rows:q} --settings {params.settings:q} > {log:q} 2>&1"
