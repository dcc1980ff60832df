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
from pipeline.config.known import known_sources
from pipeline.config.load import read_run
from pipeline.config.recipe import SCRATCH
from pipeline.config.volumes import EVALUATED_SPLITS
from pipeline.errors import UserError
from pipeline.files import folders_of

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
TRAINED_METHODS = RUN.trained_methods
NETWORK_METHODS = RUN.network_methods
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
    """Returns the user's own file that a source names, so that snakemake notices when it changes.

    A folder of pictures is watched through its folders: they change when a picture comes, goes or is replaced.
    """
    source = SOURCES[wildcards.source]
    if source.kind != "local":
        return []
    path = Path(source.path)
    return (
        [str(folder) for folder in folders_of(path)] if path.is_dir() else [source.path]
    )


def source_entry(wildcards):
    """Returns a source's entry as JSON."""
    return SOURCES[wildcards.source].model_dump_json()


def suffix_of(volume):
    """Returns the suffix of a volume's predictions: stacks of pictures become TIFF pages."""
    return ".tiff" if RUN.volume(volume).is_stack else ".nii.gz"


def predictions_of(wildcards):
    """Returns the predictions of all methods for a volume."""
    methods = [*CLASSICAL_METHODS, *NETWORK_METHODS]
    name = f"{wildcards.volume}{suffix_of(wildcards.volume)}"
    return expand(f"{PREDICTIONS}/{{method}}/{name}", method=methods)


def delivered(volumes):
    """Returns the deliverables of volumes."""
    return [f"{RESULTS}/sr/{volume}{suffix_of(volume)}" for volume in volumes]


wildcard_constraints:
    volume="|".join(volume.id for volume in RUN.volumes),
    source="|".join(SOURCES),
    method="|".join(NETWORK_METHODS),
