rule tune:
    input:
        hr=extracted("val"),
        lr=degraded("val"),
    output:
        settings=f"{RESULTS}/tuning/nlm_bspline3.json",
    log:
        f"{RESULTS}/logs/tune.log",
    benchmark:
        f"{RESULTS}/benchmarks/tune.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        code=code_version("pipeline.steps.tune"),
    message:
        "Tuning denoise-then-interpolate on the validation volumes"
    shell:
        "python -m pipeline.steps tune --hr {input.hr:q} --lr {input.lr:q} --output {output.settings:q} > {log:q} 2>&1"


rule convert:
    input:
        weights=source_file(WEIGHTS),
    output:
        generator=f"{RESULTS}/models/pretrained/generator.safetensors",
        card=f"{RESULTS}/models/pretrained/model_card.md",
        history=f"{RESULTS}/models/pretrained/history.csv",
    log:
        f"{RESULTS}/logs/convert.log",
    benchmark:
        f"{RESULTS}/benchmarks/convert.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        folder=subpath(output.generator, parent=True),
        source=SOURCES[WEIGHTS].model_dump_json(),
        factor=RUN.degrade.factor,
        along="columns" if RUN.degrade.direction == "through_plane" else "both",
        code=code_version("pipeline.steps.convert_weights"),
    message:
        f"Converting {WEIGHTS} to one channel"
    shell:
        "python -m pipeline.steps convert_weights --weights {input.weights:q} --output {params.folder:q}"
        " --source {params.source:q} --factor {params.factor} --along {params.along} > {log:q} 2>&1"


rule features:
    input:
        weights=source_file(RUN.train.perceptual_weights),
    output:
        features=PERCEPTUAL,
    log:
        f"{RESULTS}/logs/features.log",
    benchmark:
        f"{RESULTS}/benchmarks/features.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        source=SOURCES[RUN.train.perceptual_weights].model_dump_json(),
        code=code_version("pipeline.steps.convert_vgg"),
    message:
        f"Taking the features of {RUN.train.perceptual_weights}"
    shell:
        "python -m pipeline.steps convert_vgg --weights {input.weights:q} --output {output.features:q}"
        " --source {params.source:q} > {log:q} 2>&1"


rule self_supervised:
    input:
        lr=rules.degrade.output.volume,
    output:
        pairs=expand(
            SELF_SUPERVISED, role=OWN_ROLES, kind=["hr", "lr"], allow_missing=True
        ),
    log:
        f"{RESULTS}/logs/self_supervised/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/self_supervised/{{volume}}.tsv"
    group:
        prepared_with
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        folder=subpath(output[0], parent=True),
        code=code_version("pipeline.steps.self_supervised_pairs"),
    message:
        "Making training pairs of the slices of {wildcards.volume} itself"
    shell:
        "python -m pipeline.steps self_supervised_pairs --lr {input.lr:q} --output {params.folder:q} > {log:q} 2>&1"


rule train:
    input:
        hr=learnt_from("train", "hr"),
        lr=learnt_from("train", "lr"),
        val_hr=learnt_from("val", "hr"),
        val_lr=learnt_from("val", "lr"),
        start=start_of,
        perceptual=perceptual_of,
    output:
        generator=f"{RESULTS}/models/{{method}}/generator.safetensors",
        card=f"{RESULTS}/models/{{method}}/model_card.md",
        history=f"{RESULTS}/models/{{method}}/history.csv",
        events=f"{RESULTS}/models/{{method}}/events.csv",
        samples=f"{RESULTS}/models/{{method}}/samples.safetensors",
    log:
        f"{RESULTS}/logs/train/{{method}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{method}}.tsv"
    wildcard_constraints:
        method="|".join(TRAINED_METHODS),
    conda:
        "../../envs/learning.yaml"
    threads: RUN.train.threads
    resources:
        gpu=RUN.resources.gpu,
        device=RUN.resources.device,
        srun="",
        launch=LAUNCH if SHARED else "",
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        folder=subpath(output.generator, parent=True),
        checkpoints=f"{RESULTS}/checkpoints/{{method}}",
        settings=TRAIN_SETTINGS,
        recipe=recipe_entry,
        files=optional_files,
        source=SOURCES[WEIGHTS].model_dump_json(),
        seed=RUN.seed,
        code=code_version("pipeline.steps.train"),
    message:
        "Training {wildcards.method}; watch it with: tail -f {log}"
    shell:
        "{resources.srun} python -m {resources.launch} pipeline.steps train --hr {input.hr:q} --lr {input.lr:q} --val-hr {input.val_hr:q} --val-lr {input.val_lr:q}"
        " {params.files} --output {params.folder:q} --checkpoints {params.checkpoints:q} --recipe {params.recipe:q}"
        " --source {params.source:q} --seed {params.seed} --device {resources.device} --settings {params.settings:q} > {log:q} 2>&1"
