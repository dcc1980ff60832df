# Results in S3, copied on demand: snakemake --cores 8 store
# Results are written to the local disk and copied when they are complete; a changed result is copied again.

# Outputs of rules by their names in the run's folder, and published files with the list that contains them. Folders are
# excluded: OME-Zarr derivatives are stored as the zipped deliverables from which they were copied.
STORED = {
    path.removeprefix(f"{RESULTS}/"): path
    for path in [
        *rules.all.input,
        *(rules.convert_weights.output if PRETRAINED in NETWORKS else []),
        *expand(rules.train.output, method=RUN.trained_methods),
    ]
    if not path.startswith((f"{RESULTS}/published/", f"{RESULTS}/bids"))
}
STORED |= {
    name: f"{RESULTS}/published/{shard}.{kind}.json"
    for shard, volumes in SHARDS.items()
    for volume in volumes
    for kind, names in {
        "volumes": [
            "sr/{}{}",
            *(f"predictions/{method}/{{}}{{}}" for method in METHODS),
        ],
        "pages": [
            "reports/{}.html",
            *(["sr/{}.uncertainty{}"] if HAS_ERROR_MAPS else []),
        ],
    }.items()
    for name in [pattern.format(volume, SUFFIXES[volume]) for pattern in names]
}
STORED |= {
    f"bids/{name}": f"{RESULTS}/bids"
    for derivative, volume in DERIVATIVES.items()
    for name in [
        f"{derivative}.json",
        f"{derivative}{SUFFIXES[volume].replace('.tiff', '.tif')}",
    ]
    if not name.endswith(".zarr.zip")
}
if DERIVATIVES:
    STORED["bids/dataset_description.json"] = f"{RESULTS}/bids"


rule store:
    input:
        stored_results,


if RUN.store:

    rule store_file:
        input:
            made=by("file", STORED),
        output:
            stored=storage.s3(f"{RUN.store}/{RUN.run}/{{file}}"),
        log:
            f"{RESULTS}/logs/store/{{file}}.log",
        localrule: True
        params:
            file=f"{RESULTS}/{{file}}",
        message:
            "Copying {params.file} to S3"
        shell:
            "cp {params.file:q} {output.stored:q} > {log:q} 2>&1"
