USED_SOURCES = {
    *(name for volume in RUN.volumes for name in volume.source_names),
    *(name for volume in RUN.volumes for name in volume.companion_names),
    *([WEIGHTS] if PRETRAINED in NETWORKS else []),
}
if RUN.evaluate.needs_features or any(
    recipe.needs_perceptual for recipe in RECIPES.values()
):
    USED_SOURCES.add(RUN.train.perceptual_weights)
MODEL_FOLDERS = expand(MODEL, method=NETWORKS)
CARDS = expand(f"{MODEL}/model_card.md", method=NETWORKS)
HISTORIES = expand(f"{MODEL}/history.csv", method=NETWORKS)
# Not the output of a rule: Snakemake does not treat this page as a result, and the index is not overwritten.
FAILURES = Path(RESULTS) / "reports" / "failures.html"


onerror:
    from pipeline.reporting.pages.failures import write_failure_page

    logs = [Path(path) for path in log]
    message = checked(
        write_failure_page, logs, Path(RESULTS), RUN.report.title, FAILURES
    )
    sys.stderr.write(f"{message}\n")


onsuccess:
    FAILURES.unlink(missing_ok=True)


rule provenance:
    input:
        records=[
            f"{source_file(source)}.source.json" for source in sorted(USED_SOURCES)
        ],
        volumes=expand(EXTRACTED, volume=[volume.id for volume in RUN.volumes]),
        duplicates=DUPLICATES,
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
        # Not installed in the job's environment. A resource, so that a change does not trigger reruns.
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
        "Recording the provenance of the results"
    shell:
        "python -m pipeline.steps provenance --config @<(printf '%s\\n' {params.config:q})"
        " --sources @<(printf '%s\\n' {input.records:q}) --volumes @<(printf '%s\\n' {input.volumes:q}) --duplicates {input.duplicates:q}"
        " --snakemake {resources.snakemake_version} --output {output.provenance:q} > {log:q} 2>&1"


rule report_volumes:
    input:
        hr=by("shard", REFERENCES),
        lr=by("shard", MEASURED),
        predictions=expand(RESTORED, method=METHODS, allow_missing=True),
        volumes=rules.summarise.output.volumes,
        slices=rules.summarise.output.slices,
        summary=rules.summarise.output.summary,
        provenance=rules.provenance.output.provenance,
        cards=CARDS,
        histories=HISTORIES,
        tuning=rules.tune.output.settings,
        gates=rules.gate.output.rows,
        tissue=by(
            "shard",
            {
                shard: expand(
                    rules.tissue.output.rows, shard={shard} & TISSUE_SHARDS.keys()
                )
                for shard in SHARDS
            },
        ),
        inserted=by(
            "shard",
            {
                shard: expand(
                    rules.insert_structures.output.rows,
                    shard={shard} & TEST_SHARDS.keys(),
                )
                for shard in SHARDS
            },
        ),
        uncertainty=rules.uncertainty.output.folder if HAS_ERROR_MAPS else [],
        reliability=rules.uncertainty.output.reliability if HAS_ERROR_MAPS else [],
    output:
        pages=report(
            directory(f"{RESULTS}/pages/{{shard}}"),
            patterns=["{name}.html"],
            caption="../report/volume.rst",
            category="Reports",
            labels={"page": "{name}"},
        ),
    log:
        f"{RESULTS}/logs/report_volumes/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_volumes/{{shard}}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        volumes=by("shard", NAMES),
        models=MODEL_FOLDERS,
        benchmarks=f"{RESULTS}/benchmarks",
        deliver=DELIVERED,
        settings=section("report"),
        page_sources=PAGE_SOURCES,
        code=code_version("pipeline.steps.report_volumes"),
    message:
        "Writing the reports of {params.volumes}"
    shell:
        "python -m pipeline.steps report_volumes --hr {input.hr:q} --lr {input.lr:q} --predictions {input.predictions:q}"
        " --volumes-table {input.volumes:q} --slices {input.slices:q} --summary {input.summary:q}"
        " --provenance {input.provenance:q} --models {params.models:q} --tuning {input.tuning:q}"
        " --deliver {params.deliver} --gates {input.gates:q} --tissue {input.tissue:q} --inserted {input.inserted:q}"
        " --uncertainty {input.uncertainty:q} --reliability {input.reliability:q} --benchmarks {params.benchmarks:q}"
        " --shard {wildcards.shard} --settings {params.settings:q} --output {output.pages:q} > {log:q} 2>&1"


rule report_index:
    input:
        volumes=rules.summarise.output.volumes,
        slices=rules.summarise.output.slices,
        summary=rules.summarise.output.summary,
        provenance=rules.provenance.output.provenance,
        cards=CARDS,
        histories=HISTORIES,
        tables=[
            DUPLICATES,
            rules.summarise.output.comparisons,
            rules.summarise_fidelity.output.gates,
            *DIAGNOSIS,
            *([rules.membranes.output.table] if WITH_NEURONS else []),
            *([rules.cells.output.table] if WITH_CELLS else []),
            *(
                [
                    rules.summarise_fidelity.output.inserted,
                    rules.summarise_fidelity.output.rates,
                ]
                if TEST_SHARDS
                else []
            ),
            *(
                [
                    rules.summarise_fidelity.output.reliability,
                    rules.summarise_fidelity.output.uncertainty,
                ]
                if HAS_ERROR_MAPS
                else []
            ),
            *([rules.summarise_fidelity.output.agreement] if TISSUE_SHARDS else []),
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
        deliver=DELIVERED,
        settings=section("report"),
        page_sources=PAGE_SOURCES,
        code=code_version("pipeline.steps.report_index"),
    message:
        "Writing the report of the cohort"
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
        trainings=expand(rules.train.output, method=RUN.trained_methods),
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
        "Writing the training report"
    shell:
        "python -m pipeline.steps report_training --models {params.models:q} --provenance {input.provenance:q}"
        " --settings {params.settings:q} --output {output.page:q} > {log:q} 2>&1"
