# BrainSR: super-resolution of brain images, from the download to the reports.
#
#   snakemake --cores 8 --use-conda                         the demo of config.yaml
#   snakemake --cores 8 --use-conda --configfile my.yaml    your own run

from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")


configfile: Path(workflow.basedir) / "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/shards.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/extract.smk"
include: "workflow/rules/degrade.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/infer.smk"
include: "workflow/rules/bids.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/fidelity.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/mismatch.smk"
include: "workflow/rules/reading.smk"
include: "workflow/rules/enforce.smk"
include: "workflow/rules/store.smk"


rule all:
    default_target: True
    input:
        rules.provenance.output,
        rules.summarise.output,
        rules.report_index.output,
        rules.report_training.output,
        rules.report_resources.output,
        expand(PAGE, volume=RUN.evaluated_ids),
        delivered(RUN.evaluated_ids),
        all_predictions(RUN.evaluated_ids),
        downstream_results(),
        uncertainty_results(),
        bids_results(),
        rules.gate_table.output,
        rules.ro_crate.output,
        rules.enforce.output,
