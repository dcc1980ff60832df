# Descriptions of all restored images of a BIDS data set: the methods to cite, and the page of all subjects.

RESTORED = expand(f"{MADE}{SIDECAR}", stem=[image.stem for image in RUN.restorable])
ENTRIES = [image.model_dump_json() for image in RUN.images]


rule bids_methods:
    input:
        RESTORED,
    output:
        text=METHODS_FILE,
        bibtex=BIBTEX_FILE,
    log:
        "logs/methods.log",
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        data=DATA,
        images=ENTRIES,
        code=code_version("pipeline.steps.bids_methods"),
    message:
        "Writing the methods"
    shell:
        "python -m pipeline.steps bids_methods --data {params.data:q} --images @<(printf '%s\\n' {params.images:q})"
        " --output {output.text:q} --bibtex {output.bibtex:q} > {log:q} 2>&1"


rule bids_cohort:
    input:
        RESTORED,
    output:
        page=COHORT_PAGE,
    log:
        "logs/cohort.log",
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        data=DATA,
        images=ENTRIES,
        page_sources=PAGE_SOURCES,
        code=code_version("pipeline.steps.bids_page"),
    message:
        "Writing the page of all subjects"
    shell:
        "python -m pipeline.steps bids_page --data {params.data:q} --images @<(printf '%s\\n' {params.images:q})"
        " --output {output.page:q} > {log:q} 2>&1"
