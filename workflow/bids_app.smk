# The BIDS App: `brainsr bids` writes its configuration and runs this workflow in the folder of the derivatives.

from snakemake.utils import min_version

min_version("9.27")


include: "rules/jobs.smk"


from pipeline import WORKFLOW_FOLDER
from pipeline.code_version import code_version, files_version
from pipeline.config.bids.app import (
    BIBTEX_FILE,
    COHORT_PAGE,
    IMAGE,
    METHODS_FILE,
    RESULT,
    SIDECAR,
    read_bids_app,
)
from pipeline.config.bids.names import ERROR_MAP
from pipeline.config.preflight import check_queue

RUN = checked(read_bids_app, config)
MADE = f"{{stem}}{RESULT}_{RUN.suffix}"
# What the pages are about, and their design.
DATA = RUN.data.model_dump_json()
PAGE_SOURCES = files_version(WORKFLOW_FOLDER / "reports")


onstart:
    checked(check_queue, Path.cwd())


include: "rules/bids_cohort.smk"


if RUN.level == "participant":

    # At the level group, nothing is restored, even if the settings or a source have changed.
    include: "rules/bids_restore.smk"


rule all:
    default_target: True
    input:
        expand("{subject}.html", subject=RUN.subjects)
        if RUN.level == "participant"
        else rules.bids_cohort.output.page,
        rules.bids_methods.output,
