# BrainSR: super-resolution of brain images, from the download to the reports.
#
#   snakemake --cores 8 --use-conda                         the demo of config.yaml
#   snakemake --cores 8 --use-conda --configfile my.yaml    your own run

from snakemake.utils import min_version

min_version("9.27")


# Beside this file, also if it is included or used as a module.
configfile: workflow.current_basedir.join("config.yaml").get_path_or_uri(secret_free=True)


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/combine.smk"
include: "workflow/rules/extract.smk"
include: "workflow/rules/degrade.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/infer.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/gate.smk"
include: "workflow/rules/tissue.smk"
include: "workflow/rules/membranes.smk"
include: "workflow/rules/cells.smk"
include: "workflow/rules/insertion.smk"
include: "workflow/rules/uncertainty.smk"
include: "workflow/rules/summarise.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/publish.smk"
include: "workflow/rules/bids.smk"
include: "workflow/rules/finish.smk"
include: "workflow/rules/mismatch.smk"
include: "workflow/rules/reading.smk"


rule all:
    default_target: True
    input:
        FINISHED,
        rules.provenance.output,
        rules.report_resources.output,
        rules.ro_crate.output,
        rules.enforce.output,


include: "workflow/rules/store.smk"
