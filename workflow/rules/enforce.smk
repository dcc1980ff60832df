# The last rule: where it stops the run, everything else is there to look at.
rule enforce:
    input:
        table=rules.gate_table.output.table,
        pages=[
            rules.report_index.output.page,
            rules.report_training.output.page,
            *expand(PAGE, volume=RUN.evaluated_ids),
        ],
        delivered=delivered(RUN.evaluated_ids),
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
        method=RUN.infer.deliver,
        on_gate_failure=RUN.evaluate.on_gate_failure,
        code=code_version("pipeline.steps.enforce"),
    message:
        "Asking whether the delivered volumes agree with what was measured"
    shell:
        "python -m pipeline.steps enforce --gates {input.table:q} --method {params.method} --on-gate-failure {params.on_gate_failure}"
        " --output {output.verdict:q} > {log:q} 2>&1"
