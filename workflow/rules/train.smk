WEIGHTS = RUN.train.initial_weights


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
        mem_mb=RUN.resources.memory_mb,
        runtime=RUN.resources.runtime_minutes,
    params:
        code=code_version("pipeline.tune"),
    message:
        "Tuning denoise-then-interpolate on the validation volumes"
    shell:
        "python -m pipeline tune --hr {input.hr:q} --lr {input.lr:q} --output {output.settings:q} > {log:q} 2>&1"


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
        mem_mb=RUN.resources.memory_mb,
        runtime=RUN.resources.runtime_minutes,
    params:
        folder=subpath(output.generator, parent=True),
        source=SOURCES[WEIGHTS].model_dump_json(),
        code=code_version("pipeline.convert"),
    message:
        f"Converting {WEIGHTS} to one channel"
    shell:
        "python -m pipeline convert --weights {input.weights:q} --output {params.folder:q}"
        " --source {params.source:q} > {log:q} 2>&1"


rule train:
    input:
        hr=extracted("train"),
        lr=degraded("train"),
        val_hr=extracted("val"),
        val_lr=degraded("val"),
        weights=rules.convert.output.generator,
    output:
        generator=f"{RESULTS}/models/rrdb_l1/generator.safetensors",
        card=f"{RESULTS}/models/rrdb_l1/model_card.md",
        history=f"{RESULTS}/models/rrdb_l1/history.csv",
    log:
        f"{RESULTS}/logs/train/rrdb_l1.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/rrdb_l1.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: RUN.train.threads
    resources:
        gpu=RUN.resources.gpu,
        device=RUN.resources.device,
        mem_mb=RUN.resources.memory_mb,
        runtime=RUN.resources.runtime_minutes,
    params:
        folder=subpath(output.generator, parent=True),
        checkpoints=f"{RESULTS}/checkpoints/rrdb_l1",
        settings=section("train"),
        source=SOURCES[WEIGHTS].model_dump_json(),
        seed=RUN.seed,
        code=code_version("pipeline.train"),
    message:
        f"Training rrdb_l1 for {RUN.train.steps} steps; watch it with: tail -f {{log}}"
    shell:
        "python -m pipeline train --hr {input.hr:q} --lr {input.lr:q} --val-hr {input.val_hr:q} --val-lr {input.val_lr:q}"
        " --weights {input.weights:q} --output {params.folder:q} --checkpoints {params.checkpoints:q}"
        " --source {params.source:q} --seed {params.seed} --device {resources.device} --settings {params.settings:q} > {log:q} 2>&1"
