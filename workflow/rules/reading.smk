# The page of a blinded reader study, written on demand: snakemake --cores 8 reading


rule reading:
    input:
        tested,
        hr=expand(EXTRACTED, volume=RUN.read_ids),
        predictions=expand(
            RESTORED,
            method=[method for method in RUN.read_methods if method != REFERENCE],
            shard=RUN.sharded(RUN.read_ids),
        ),
    output:
        page=report(
            f"{RESULTS}/reading/study.html",
            caption="../report/reading.rst",
            category="Reader study",
            labels={"page": "for the readers"},
        ),
        key=f"{RESULTS}/reading/key.json",
    log:
        f"{RESULTS}/logs/reading.log",
    benchmark:
        f"{RESULTS}/benchmarks/reading.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        reference="" if REFERENCE in RUN.read_methods else "--without-reference",
        settings=section("reading"),
        seed=RUN.seed,
        page_sources=PAGE_SOURCES,
        code=code_version("pipeline.steps.reading_page"),
    message:
        "Writing the page of the reader study; give {output.page} to the readers and keep {output.key}"
    shell:
        "python -m pipeline.steps reading_page --hr {input.hr:q} --predictions {input.predictions:q} {params.reference}"
        " --page {output.page:q} --key {output.key:q} --seed {params.seed} --settings {params.settings:q} > {log:q} 2>&1"
