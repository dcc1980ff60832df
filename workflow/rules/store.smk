# Results in S3, made on demand: snakemake --cores 8 store
# They are made on this disk and copied when they are whole; a result that changes is copied again.


rule store:
    input:
        stored_results,


if RUN.store:
    check_storage_plugin("what the key `store` names")

    rule store_file:
        input:
            file=f"{RESULTS}/{{file}}",
        output:
            stored=storage.s3(f"{STORE}/{{file}}"),
        log:
            f"{RESULTS}/logs/store/{{file}}.log",
        localrule: True
        message:
            "Copying {input.file} to S3"
        shell:
            "cp {input.file:q} {output.stored:q} > {log:q} 2>&1"
