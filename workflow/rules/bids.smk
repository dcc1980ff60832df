# Results of volumes from BIDS folders, as a BIDS data set of derivatives.

BIDS_LINKS = RUN.bids_links
DERIVATIVES = {**RUN.derivatives, **RUN.derived_error_maps}
# Source of every derivative, and its entry: one line of JSON.
RAW = {name: SOURCES[RUN.volume(volume).origin] for name, volume in DERIVATIVES.items()}
ENTRIES = [
    as_json(
        {
            "name": name,
            "volume": volume,
            "source": RAW[name].model_dump(mode="json"),
            "link": BIDS_LINKS[RAW[name].bids],
            "voxel_um": RUN.volume(volume).voxel_um or [],
            "error_map": name in RUN.derived_error_maps,
        }
    )
    for name, volume in DERIVATIVES.items()
]


rule derivatives:
    input:
        expand(rules.publish.output.manifest, shard=SHARDS),
        expand(rules.publish_pages.output.manifest, shard=SHARDS)
        if HAS_ERROR_MAPS
        else [],
        forward_models=expand(
            rules.degrade.output.forward_model,
            volume=sorted(set(DERIVATIVES.values())),
        ),
        sidecars=sorted({path for raw in RAW.values() for path in raw.sidecars}),
        descriptions=expand("{root}/dataset_description.json", root=BIDS_LINKS),
    output:
        folder=directory(f"{RESULTS}/bids"),
    log:
        f"{RESULTS}/logs/derivatives.log",
    benchmark:
        f"{RESULTS}/benchmarks/derivatives.tsv"
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        entries=ENTRIES,
        links=as_json({link: root for root, link in BIDS_LINKS.items()}),
        run=RUN.run,
        results=subpath(output.folder, parent=True),
        method=DELIVERED,
        code=code_version("pipeline.steps.derivatives"),
    message:
        "Writing the BIDS derivatives"
    shell:
        "python -m pipeline.steps derivatives --results {params.results:q} --entries @<(printf '%s\\n' {params.entries:q})"
        " --run {params.run} --method {params.method} --links {params.links:q} --output {output.folder:q} > {log:q} 2>&1"
