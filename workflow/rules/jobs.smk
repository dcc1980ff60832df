# Shared by all jobs, of a run and of the BIDS App: how they find the package, and their resources. RUN is the validated
# configuration. Only packages that Snakemake itself installs are imported here.

import os
import shlex
import sys
from importlib.util import find_spec

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

# The package of the checkout or installation to which this file belongs, also if the workflow is used as a module.
sys.path.insert(0, str(Path(workflow.current_basedir).parents[1]))


from pipeline import WORKFLOW_FOLDER
from pipeline.errors import UserError


def checked(check, *arguments, **options):
    """Return the result of a function of the package; convert a UserError to a WorkflowError."""
    try:
        return check(*arguments, **options)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def by(wildcard, table):
    """Return an input or params function that looks up the value of a wildcard in a table."""
    return lambda wildcards: table[wildcards[wildcard]]


def memory_mb(wildcards, attempt):
    """Return the requested memory in MB; it increases with every retry, since a job may have run out of memory."""
    return attempt * RUN.resources.memory_mb


def runtime_minutes(wildcards, attempt):
    """Return the requested time in minutes; it increases with every retry, since a job may have timed out."""
    return attempt * RUN.resources.runtime_minutes


# The image of --software-deployment-method apptainer. None is published: users build it, see docs/containers.md.
# It is looked for in the folder of the run; `brainsr bids`, which runs in the folder of the derivatives, states where.
CONTAINER = "brainsr.sif"
DEPLOYMENT = workflow.deployment_settings.deployment_method
if DeploymentMethod.APPTAINER in DEPLOYMENT:
    CONTAINER = config.get("container", CONTAINER)
if DeploymentMethod.APPTAINER in DEPLOYMENT and not Path(CONTAINER).is_file():
    raise WorkflowError(
        f"{Path(CONTAINER).absolute()}: no such image. Build it in a checkout (apptainer build brainsr.sif "
        "apptainer.def) and copy or link it to this folder."
    )


container: CONTAINER.replace("{", "{{").replace("}", "}}")


# Make the package importable in jobs: under conda, Snakemake removes an inherited PYTHONPATH. If Snakemake was called by
# its path, the folder of its Python is not on the PATH; it is prepended if that Python has the packages.
PROGRAMS = str(Path(sys.executable).parent)
HAS_OWN_PYTHON = DEPLOYMENT & {DeploymentMethod.CONDA, DeploymentMethod.APPTAINER}
PREFIX = f"set -euo pipefail; export PYTHONPATH={shlex.quote(str(WORKFLOW_FOLDER))}; "
if (
    PROGRAMS not in os.environ.get("PATH", "").split(os.pathsep)
    and not HAS_OWN_PYTHON
    and find_spec("torch")
):
    PREFIX += f'export PATH={shlex.quote(PROGRAMS)}:"$PATH"; '
shell.prefix(PREFIX)
