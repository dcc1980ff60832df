# Results under fixed names, on which other programs rely. Hard links take no disk space. Shards share the folders, so the
# output of a rule is the list of its files.


rule publish:
    input:
        delivered=expand(RESTORED, method=DELIVERED, allow_missing=True),
        restored=expand(RESTORED, method=METHODS, allow_missing=True),
    output:
        manifest=f"{RESULTS}/published/{{shard}}.volumes.json",
    log:
        f"{RESULTS}/logs/publish/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/publish/{{shard}}.tsv"
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        volumes=by("shard", NAMES),
        into=[
            f"{RESULTS}/sr",
            *(f"{RESULTS}/predictions/{method}" for method in METHODS),
        ],
        code=code_version("pipeline.steps.publish"),
    message:
        "Publishing the results of every method for {params.volumes}"
    shell:
        "python -m pipeline.steps publish --folders {input:q} --into {params.into:q} --output {output.manifest:q} > {log:q} 2>&1"


use rule publish as publish_pages with:
    input:
        pages=rules.report_volumes.output.pages,
        error_maps=ERROR_MAPS if HAS_ERROR_MAPS else [],
    output:
        manifest=f"{RESULTS}/published/{{shard}}.pages.json",
    log:
        f"{RESULTS}/logs/publish_pages/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/publish_pages/{{shard}}.tsv"
    localrule: True  # is not inherited
    params:
        volumes=by("shard", NAMES),
        into=[f"{RESULTS}/reports", *([f"{RESULTS}/sr"] if HAS_ERROR_MAPS else [])],
        code=code_version("pipeline.steps.publish"),
    message:
        "Publishing the reports and uncertainty maps of {params.volumes}"
