# What all rules share: the checked configuration, and how a rule names its part of it.
# Only what snakemake itself installs is imported here.

import re
import shlex
import sys

from snakemake.exceptions import WorkflowError

CHECKOUT = Path(workflow.basedir)
sys.path.insert(0, str(CHECKOUT))

from pipeline import plugins
from pipeline.code_version import code_version, files_version
from pipeline.config.checks import NETWORK_METHODS
from pipeline.config.known import known_sources
from pipeline.config.load import read_run
from pipeline.config.volumes import EVALUATED_SPLITS
from pipeline.errors import UserError

# Under conda, snakemake removes an inherited PYTHONPATH; jobs find the package through this.
shell.prefix(f"set -euo pipefail; export PYTHONPATH={shlex.quote(str(CHECKOUT))}; ")


def checked_run():
    """Returns the typed configuration, or stops with all its mistakes."""
    try:
        return read_run(config)
    except UserError as error:
        raise WorkflowError(str(error)) from None


RUN = checked_run()
RESULTS = f"results/{RUN.run}"
SOURCES = {**known_sources(), **RUN.sources}
CLASSICAL_METHODS = plugins.names("pipeline.upsamplers")
PREDICTIONS = f"{RESULTS}/predictions"


def section(name):
    """Returns one section of the configuration as JSON: a rule is given its own and no other."""
    return getattr(RUN, name).model_dump_json()


def source_file(name):
    """Returns where a source's file is kept."""
    return f"resources/{name}/{SOURCES[name].file_name}"


def volume_entry(wildcards):
    """Returns a volume's entry of the configuration as JSON."""
    return RUN.volume(wildcards.volume).model_dump_json()


def volume_source(wildcards):
    """Returns the file that a volume is read from."""
    return source_file(RUN.volume(wildcards.volume).source)


def extracted(*splits):
    """Returns the extracted volumes of the given splits."""
    return expand(
        f"{RESULTS}/extracted/{{volume}}.safetensors", volume=RUN.ids(*splits)
    )


def degraded(*splits):
    """Returns the low-resolution volumes of the given splits."""
    return expand(f"{RESULTS}/degraded/{{volume}}.safetensors", volume=RUN.ids(*splits))


def local_file(wildcards):
    """Returns the user's own file that a source names, so that snakemake notices when it changes."""
    source = SOURCES[wildcards.source]
    return [source.path] if source.kind == "local" else []


def source_entry(wildcards):
    """Returns a source's entry as JSON."""
    return SOURCES[wildcards.source].model_dump_json()


def predictions_of(wildcards):
    """Returns the predictions of all methods for a volume."""
    methods = [*CLASSICAL_METHODS, *NETWORK_METHODS]
    return expand(f"{PREDICTIONS}/{{method}}/{wildcards.volume}.nii.gz", method=methods)


wildcard_constraints:
    volume="|".join(volume.id for volume in RUN.volumes),
    source="|".join(SOURCES),
    method="|".join(NETWORK_METHODS),
