TRAIN_SETTINGS = RUN.train.model_dump_json(
    exclude={"initial_weights", "perceptual_weights"}
)
# torchrun distributes a training over several GPUs; over several nodes, with srun, which is set in the profile for Slurm.
# Both are resources, so that a change does not trigger reruns.
SHARED = RUN.resources.gpu > 1 and RUN.resources.device != "cpu"
LAUNCH = f"torch.distributed.run --standalone --nproc-per-node={RUN.resources.gpu} -m"
RECIPES = {method: RUN.recipe(method) for method in RUN.trained_methods}
TERMS = as_json([terms.model_dump() for terms in RUN.training_terms(SOURCES)])
# Roles of the self-supervised training pairs of a thick-slice volume.
ROLES = ["train-columns", "train-rows", "val"]
PAIRS = f"{RESULTS}/self_supervised/{{volume}}/{{role}}.{{kind}}.safetensors"


rule tune:
    input:
        hr=expand(EXTRACTED, volume=RUN.ids("val")),
        lr=expand(DEGRADED, volume=RUN.ids("val")),
    output:
        settings=f"{RESULTS}/tuning/settings.json",
    log:
        f"{RESULTS}/logs/tune.log",
    benchmark:
        f"{RESULTS}/benchmarks/tune.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        code=code_version("pipeline.steps.tune"),
    message:
        "Tuning the baselines on the validation volumes"
    shell:
        "python -m pipeline.steps tune --hr {input.hr:q} --lr {input.lr:q} --output {output.settings:q}"
        " --threads {threads} > {log:q} 2>&1"


rule convert_weights:
    input:
        weights=source_file(WEIGHTS),
    output:
        generator=f"{RESULTS}/models/pretrained/generator.safetensors",
        card=f"{RESULTS}/models/pretrained/model_card.md",
        history=f"{RESULTS}/models/pretrained/history.csv",
    log:
        f"{RESULTS}/logs/convert_weights.log",
    benchmark:
        f"{RESULTS}/benchmarks/convert_weights.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        folder=subpath(output.generator, parent=True),
        source=SOURCES[WEIGHTS].model_dump_json(),
        factor=1 if RUN.restores_any_ratio else RUN.degrade.factor,
        along="columns" if RUN.degrade.direction == "through_plane" else "both",
        code=code_version("pipeline.steps.convert_weights"),
    message:
        f"Converting {WEIGHTS} to a one-channel network"
    shell:
        "python -m pipeline.steps convert_weights --weights {input.weights:q} --output {params.folder:q}"
        " --source {params.source:q} --factor {params.factor} --along {params.along} > {log:q} 2>&1"


rule convert_vgg:
    input:
        weights=source_file(RUN.train.perceptual_weights),
    output:
        features=PERCEPTUAL,
    log:
        f"{RESULTS}/logs/convert_vgg.log",
    benchmark:
        f"{RESULTS}/benchmarks/convert_vgg.tsv"
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
        f"Converting {RUN.train.perceptual_weights} to the feature network of the perceptual loss"
    shell:
        "python -m pipeline.steps convert_vgg --weights {input.weights:q} --output {output.features:q}"
        " --source {params.source:q} > {log:q} 2>&1"


rule self_supervised_pairs:
    input:
        lr=DEGRADED,
    output:
        pairs=expand(PAIRS, role=ROLES, kind=["hr", "lr"], allow_missing=True),
    log:
        f"{RESULTS}/logs/self_supervised_pairs/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/self_supervised_pairs/{{volume}}.tsv"
    group:
        by("volume", GROUPS)
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
        "Creating self-supervised training pairs from {wildcards.volume}"
    shell:
        "python -m pipeline.steps self_supervised_pairs --lr {input.lr:q} --output {params.folder:q} > {log:q} 2>&1"


rule train:
    input:
        hr=pairs("train", "hr"),
        lr=pairs("train", "lr"),
        val_hr=pairs("val", "hr"),
        val_lr=pairs("val", "lr"),
        start=by(
            "method",
            {
                method: (
                    []
                    if recipe.starts_from == SCRATCH
                    else expand(GENERATOR, method=recipe.starts_from)
                )
                for method, recipe in RECIPES.items()
            },
        ),
        teacher=by(
            "method",
            {
                method: expand(GENERATOR, method=recipe.teacher or [])
                for method, recipe in RECIPES.items()
            },
        ),
        perceptual=by(
            "method",
            {
                method: PERCEPTUAL if recipe.needs_perceptual else []
                for method, recipe in RECIPES.items()
            },
        ),
    output:
        generator=GENERATOR,
        card=f"{MODEL}/model_card.md",
        history=f"{MODEL}/history.csv",
        events=f"{MODEL}/events.csv",
        samples=f"{MODEL}/samples.safetensors",
    log:
        f"{RESULTS}/logs/train/{{method}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{method}}.tsv"
    wildcard_constraints:
        method="|".join(RUN.trained_methods) or "none",
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
        recipe=by(
            "method",
            {method: recipe.model_dump_json() for method, recipe in RECIPES.items()},
        ),
        source=SOURCES[WEIGHTS].model_dump_json(),
        terms=TERMS,
        seed=RUN.seed,
        code=code_version("pipeline.steps.train"),
    message:
        "Training {wildcards.method}; follow the log with: tail -f {log}"
    shell:
        "{resources.srun} python -m {resources.launch} pipeline.steps train --hr {input.hr:q} --lr {input.lr:q} --val-hr {input.val_hr:q} --val-lr {input.val_lr:q}"
        " --start-from {input.start:q} --teacher {input.teacher:q} --perceptual {input.perceptual:q} --output {params.folder:q} --checkpoints {params.checkpoints:q} --recipe {params.recipe:q}"
        " --source {params.source:q} --terms {params.terms:q} --seed {params.seed} --device {resources.device} --settings {params.settings:q} > {log:q} 2>&1"


# All networks of a run and nothing else, on demand: snakemake --cores 8 networks
rule networks:
    input:
        expand(GENERATOR, method=RUN.trained_methods),
    localrule: True
