# The last steps of a run: descriptions of all results, and the rule that may stop the run.

# All earlier results; of reports and restored volumes, the lists of published files.
FINISHED = [
    *rules.summarise.output,
    *rules.summarise_fidelity.output,
    *DIAGNOSIS,
    *MEMBRANES,
    *CELLS,
    rules.report_index.output.page,
    *(rules.report_training.output if NETWORKS else []),
    *expand(rules.publish.output.manifest, shard=SHARDS),
    *expand(rules.publish_pages.output.manifest, shard=SHARDS),
    *(rules.derivatives.output if DERIVATIVES else []),
    *expand(rules.combine.output, volume=[volume.id for volume in SEVERAL]),
]


# Last of the reports, since a benchmark is written when its job has ended.
rule report_resources:
    input:
        provenance=rules.provenance.output.provenance,
        last=FINISHED,
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
        "Writing the report of time and memory"
    shell:
        "python -m pipeline.steps report_resources --benchmarks {params.benchmarks:q} --provenance {input.provenance:q}"
        " --settings {params.settings:q} --output {output.page:q} > {log:q} 2>&1"


# After all results that it describes, but before the rule that may stop the run.
rule ro_crate:
    input:
        rules.report_resources.output.page,
        FINISHED,
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
        # The folder, not its files: with ten thousand volumes, the list would exceed the limit of a command line.
        run=subpath(output.crate, parent=True),
        code=code_version("pipeline.steps.ro_crate"),
    message:
        "Describing the results as an RO-Crate"
    shell:
        "python -m pipeline.steps ro_crate --run {params.run:q} --config {output.config:q} --output {output.crate:q} > {log:q} 2>&1"


# Runs last: if it stops the run, everything else is complete.
rule enforce:
    input:
        FINISHED,
        table=rules.summarise_fidelity.output.gates,
        crate=rules.ro_crate.output.crate,
    output:
        verdict=f"{RESULTS}/metrics/gates.txt",
    log:
        f"{RESULTS}/logs/enforce.log",
    benchmark:
        f"{RESULTS}/benchmarks/enforce.tsv"
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        method=DELIVERED,
        on_gate_failure=RUN.evaluate.on_gate_failure,
        code=code_version("pipeline.steps.enforce"),
    message:
        "Checking that the delivered volumes are consistent with the low-resolution input"
    shell:
        "python -m pipeline.steps enforce --gates {input.table:q} --method {params.method} --on-gate-failure {params.on_gate_failure}"
        " --output {output.verdict:q} > {log:q} 2>&1"
