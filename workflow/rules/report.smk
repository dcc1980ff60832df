NEEDED_FEATURES = {
    RUN.train.perceptual_weights
    for method in TRAINED_METHODS
    if RUN.recipe(method).needs_perceptual
}
if RUN.evaluate.needs_features:
    NEEDED_FEATURES.add(RUN.train.perceptual_weights)
SEGMENTATIONS = {volume.segmentation for volume in RUN.volumes if volume.segmentation}
USED_SOURCES = sorted(
    {volume.source for volume in RUN.volumes}
    | SEGMENTATIONS
    | {WEIGHTS}
    | NEEDED_FEATURES
)
MODEL_FOLDERS = expand(f"{RESULTS}/models/{{method}}", method=NETWORK_METHODS)
CARDS = expand(f"{RESULTS}/models/{{method}}/model_card.md", method=NETWORK_METHODS)
HISTORIES = expand(f"{RESULTS}/models/{{method}}/history.csv", method=NETWORK_METHODS)
PAGE_SOURCES = files_version(CHECKOUT / "reports")


onerror:
    command = failure_command(log)
    shell("{command} || true")


onsuccess:
    Path(FAILURES).unlink(missing_ok=True)


rule provenance:
    input:
        records=[f"{source_file(source)}.source.json" for source in USED_SOURCES],
        volumes=extracted("train", *EVALUATED_SPLITS),
        duplicates=rules.duplicates.output.table,
    output:
        provenance=f"{RESULTS}/provenance.json",
    log:
        f"{RESULTS}/logs/provenance.log",
    benchmark:
        f"{RESULTS}/benchmarks/provenance.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
        # Not installed in the environment of the job. A resource, since it must rerun nothing.
        snakemake_version=snakemake_version,
    params:
        config=RUN.model_dump_json(
            exclude={
                "resources": True,
                "report": True,
                "reading": True,
                "store": True,
                "evaluate": {"on_gate_failure"},
            }
        ),
        code=code_version("pipeline.steps.provenance"),
    message:
        "Recording what made the results"
    shell:
        "python -m pipeline.steps provenance --config @<(printf '%s\\n' {params.config:q})"
        " --sources @<(printf '%s\\n' {input.records:q}) --volumes @<(printf '%s\\n' {input.volumes:q}) --duplicates {input.duplicates:q}"
        " --snakemake {resources.snakemake_version} --output {output.provenance:q} > {log:q} 2>&1"


for SHARD, VOLUMES in SHARDS.items():

    rule:
        name:
            f"report_volume_{SHARD}"
        input:
            hr=references(VOLUMES),
            lr=measured(VOLUMES),
            classical=CLASSICAL.format(shard=SHARD),
            networks=expand(RESTORED, method=NETWORK_METHODS, shard=SHARD),
            volumes=rules.summarise.output.volumes,
            slices=rules.summarise.output.slices,
            summary=rules.summarise.output.summary,
            provenance=rules.provenance.output.provenance,
            cards=CARDS,
            histories=HISTORIES,
            tuning=rules.tune.output.settings,
            gates=expand(rules.gate.output.rows, shard=SHARD),
            tissue=part_of(rules.tissue.output.rows, SHARD, TISSUE_SHARDS),
            inserted=part_of(rules.insert.output.rows, SHARD, INSERTED_SHARDS),
            folder=part_of(DISAGREEMENT, SHARD, DOUBTED_SHARDS),
            reliability=part_of(RELIABILITY, SHARD, DOUBTED_SHARDS),
        output:
            pages=[
                report(
                    PAGE.format(volume=volume),
                    caption="../report/volume.rst",
                    category="Reports",
                    labels={"page": volume},
                )
                for volume in VOLUMES
            ],
        log:
            f"{RESULTS}/logs/report/{SHARD}.log",
        benchmark:
            f"{RESULTS}/benchmarks/report_volume/{SHARD}.tsv"
        conda:
            "../../envs/imaging.yaml"
        threads: 1
        resources:
            mem_mb=memory_mb,
            runtime=runtime_minutes,
        params:
            predictions=restored_of(VOLUMES),
            maps=maps_of(VOLUMES),
            models=MODEL_FOLDERS,
            benchmarks=f"{RESULTS}/benchmarks",
            shard=SHARD,
            shard_volumes=len(VOLUMES),
            deliver=RUN.infer.deliver,
            settings=section("report"),
            page_sources=PAGE_SOURCES,
            code=code_version("pipeline.steps.report_volume"),
        message:
            f"Writing the report of {named(VOLUMES)}"
        shell:
            "python -m pipeline.steps report_volume --hr {input.hr:q} --lr {input.lr:q} --predictions {params.predictions:q}"
            " --volumes-table {input.volumes:q} --slices {input.slices:q} --summary {input.summary:q}"
            " --provenance {input.provenance:q} --models {params.models:q} --tuning {input.tuning:q}"
            " --deliver {params.deliver} --gates {input.gates:q} --tissue {input.tissue:q} --inserted {input.inserted:q}"
            " --uncertainty {params.maps:q} --reliability {input.reliability:q} --benchmarks {params.benchmarks:q}"
            " --shard {params.shard} --shard-volumes {params.shard_volumes}"
            " --settings {params.settings:q} --output {output.pages:q} > {log:q} 2>&1"


rule report_index:
    input:
        volumes=rules.summarise.output.volumes,
        slices=rules.summarise.output.slices,
        summary=rules.summarise.output.summary,
        provenance=rules.provenance.output.provenance,
        cards=CARDS,
        histories=HISTORIES,
        tables=[
            rules.duplicates.output.table,
            rules.summarise.output.comparisons,
            rules.gate_table.output.table,
            *([rules.detection.output.table] if INSERTED_SHARDS else []),
            *([rules.detection.output.rates] if INSERTED_SHARDS else []),
            *([rules.reliability.output.table] if DOUBTED != "none" else []),
            *([rules.tissue_agreement.output.agreement] if TISSUE_VOLUMES else []),
            *([rules.diagnosis.output.table] if all(CLASSED.values()) else []),
        ],
    output:
        page=report(
            f"{RESULTS}/reports/index.html",
            caption="../report/index.rst",
            category="Reports",
            labels={"page": "all volumes"},
        ),
    log:
        f"{RESULTS}/logs/report_index.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_index.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        models=MODEL_FOLDERS,
        deliver=RUN.infer.deliver,
        settings=section("report"),
        page_sources=PAGE_SOURCES,
        code=code_version("pipeline.steps.report_index"),
    message:
        "Writing the page over all volumes"
    shell:
        "python -m pipeline.steps report_index --volumes-table {input.volumes:q} --slices {input.slices:q} --summary {input.summary:q}"
        " --provenance {input.provenance:q} --models {params.models:q} --settings {params.settings:q}"
        " --tables {input.tables:q}"
        " --output {output.page:q} > {log:q} 2>&1"


rule report_training:
    input:
        provenance=rules.provenance.output.provenance,
        cards=CARDS,
        histories=HISTORIES,
        trainings=expand(rules.train.output, method=TRAINED_METHODS),
    output:
        page=report(
            f"{RESULTS}/reports/training.html",
            caption="../report/training.rst",
            category="Reports",
            labels={"page": "trainings"},
        ),
    log:
        f"{RESULTS}/logs/report_training.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_training.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        models=MODEL_FOLDERS,
        settings=section("report"),
        page_sources=PAGE_SOURCES,
        code=code_version("pipeline.steps.report_training"),
    message:
        "Writing the page over the trainings"
    shell:
        "python -m pipeline.steps report_training --models {params.models:q} --provenance {input.provenance:q}"
        " --settings {params.settings:q} --output {output.page:q} > {log:q} 2>&1"


# Last of the pages: a benchmark is there when its job has ended.
rule report_resources:
    input:
        provenance=rules.provenance.output.provenance,
        last=[
            rules.report_index.output.page,
            rules.report_training.output.page,
            *expand(PAGE, volume=RUN.evaluated_ids),
            *delivered(RUN.evaluated_ids),
            *all_predictions(RUN.evaluated_ids),
            *uncertainty_results(),
            *bids_results(),
        ],
    output:
        page=report(
            f"{RESULTS}/reports/resources.html",
            caption="../report/resources.rst",
            category="Reports",
            labels={"page": "time and memory"},
        ),
    log:
        f"{RESULTS}/logs/report_resources.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_resources.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        benchmarks=f"{RESULTS}/benchmarks",
        settings=section("report"),
        page_sources=PAGE_SOURCES,
        code=code_version("pipeline.steps.report_resources"),
    message:
        "Writing where time and memory went"
    shell:
        "python -m pipeline.steps report_resources --benchmarks {params.benchmarks:q} --provenance {input.provenance:q}"
        " --settings {params.settings:q} --output {output.page:q} > {log:q} 2>&1"


# After all that it describes, but before the rule that may stop the run.
rule ro_crate:
    input:
        rules.report_resources.output.page,
        rules.report_resources.input.last,
        downstream_results(),
        rules.gate_table.output.table,
        provenance=rules.provenance.output.provenance,
    output:
        config=f"{RESULTS}/config.json",
        crate=report(
            f"{RESULTS}/ro-crate-metadata.json",
            caption="../report/ro_crate.rst",
            category="Provenance",
            labels={"file": "RO-Crate"},
        ),
    log:
        f"{RESULTS}/logs/ro_crate.log",
    benchmark:
        f"{RESULTS}/benchmarks/ro_crate.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        # The folder, not its files: of ten thousand volumes their names would be too long for a command line.
        run=subpath(output.crate, parent=True),
        code=code_version("pipeline.steps.ro_crate"),
    message:
        "Describing the results as an RO-Crate"
    shell:
        "python -m pipeline.steps ro_crate --run {params.run:q} --config {output.config:q} --output {output.crate:q} > {log:q} 2>&1"
