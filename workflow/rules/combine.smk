# Volumes with several sources: the scans of one head are combined into one volume, from which the run then starts.


rule combine:
    input:
        # Each scan is followed by its BIDS sidecars, if it has any.
        scans=by(
            "volume",
            {
                volume.id: [
                    file
                    for name in volume.sources
                    for file in (source_file(name), *SOURCES[name].thickness_sidecars)
                ]
                for volume in SEVERAL
            },
        ),
    output:
        volume=report(
            COMBINED,
            caption="../report/combined.rst",
            category="Combined scans",
            labels={"file": "{volume}"},
        ),
        uncertainty=f"{RESULTS}/combined/{{volume}}.uncertainty.nii.gz",
        record=f"{RESULTS}/combined/{{volume}}.json",
        page=report(
            f"{RESULTS}/reports/{{volume}}.combined.html",
            caption="../report/combined.rst",
            category="Reports",
            labels={"page": "{volume}, combined scans"},
        ),
    log:
        f"{RESULTS}/logs/combine/{{volume}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/combine/{{volume}}.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: RUN.infer.threads
    resources:
        gpu=RUN.resources.gpu,
        device=RUN.resources.device,
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        settings=section("combine"),
        volume=by("volume", {volume.id: volume.model_dump_json() for volume in SEVERAL}),
        # Not the code of the whole step: a change to the page would repeat everything that depends on the volume.
        code=[
            code_version("pipeline.inference.combine.files"),
            code_version("pipeline.provenance.combined"),
        ],
    message:
        "Combining the scans of {wildcards.volume}"
    shell:
        "python -m pipeline.steps combine --scans {input.scans:q} --output {output.volume:q} --page {output.page:q}"
        " --volume {params.volume:q} --settings {params.settings:q} --threads {threads} --device {resources.device} > {log:q} 2>&1"
