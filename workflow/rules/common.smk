# What all rules share: the checked configuration, and how a rule names its part of it.
# Only what snakemake itself installs is imported here.

import glob
import os
import re
import shlex
import sys
from importlib.util import find_spec

from snakemake import __version__ as snakemake_version
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

CHECKOUT = Path(workflow.basedir)
sys.path.insert(0, str(CHECKOUT))

from pipeline import plugins
from pipeline.code_version import code_version, files_version
from pipeline.config.families import format_of_volume, result_suffix
from pipeline.config.known import known_sources
from pipeline.config.load import as_json, check_files, read_run
from pipeline.config.mismatch import degradations, single_minded
from pipeline.config.recipe import SCRATCH
from pipeline.config.sections import REFERENCE
from pipeline.config.run import NOT_TESTED
from pipeline.config.volumes import EVALUATED_SPLITS, TEST_SPLITS
from pipeline.errors import UserError
from pipeline.files import folders_of
from pipeline.config.preflight import check_queue, check_writable


def before_every_job():
    """Returns the shell commands by which jobs find the package and their Python.

    Under conda, snakemake removes an inherited PYTHONPATH. Without it, and where snakemake was called by its path, the
    folder of its Python is not on the PATH; if it has the packages, it comes first.
    """
    programs = str(Path(sys.executable).parent)
    is_missing = programs not in os.environ.get("PATH", "").split(os.pathsep)
    has_conda = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    commands = f"set -euo pipefail; export PYTHONPATH={shlex.quote(str(CHECKOUT))}; "
    if is_missing and not has_conda and find_spec("torch"):
        commands += f'export PATH={shlex.quote(programs)}:"$PATH"; '
    return commands


shell.prefix(before_every_job())


def check_storage_plugin(user):
    """Stops where Snakemake has no plug-in for S3; the message begins with what needs it."""
    if find_spec("snakemake_storage_plugin_s3") is None:
        raise WorkflowError(
            f"{user} is in S3, but Snakemake's plug-in for it is not installed. "
            "Install it where snakemake is: pip install snakemake-storage-plugin-s3"
        )


def in_s3(sources):
    """Returns the files of sources in S3, by source, as Snakemake's storage plug-in reads them."""
    paths = {
        name: source.path for name, source in sources.items() if source.kind == "s3"
    }
    if paths:
        check_storage_plugin(f"source {min(paths)!r}")
    return {name: storage.s3(path) for name, path in paths.items()}


def stop_where_all_is_stored():
    """Stops where Snakemake would keep all files in storage: checkpoints, benchmarks and the RO-Crate need a disk."""
    if workflow.storage_settings.default_storage_provider is not None:
        raise WorkflowError(
            "results are made on a disk, not with --default-storage-provider. Leave it out; the target `store` copies "
            "what is made to S3, see docs/storage.md."
        )


def checked_run():
    """Returns the typed configuration, or stops with all its mistakes."""
    try:
        return read_run(config, files=[Path(file) for file in workflow.configfiles])
    except UserError as error:
        raise WorkflowError(str(error)) from None


def stop_where(check, *arguments):
    """Stops with the message of a check that fails."""
    try:
        check(*arguments)
    except UserError as error:
        raise WorkflowError(str(error)) from None


onstart:
    stop_where(
        check_writable, map(Path, [RESULTS, *sorted(glob.glob(f"{RESULTS}/*/"))])
    )
    stop_where(check_queue, Path.cwd())


stop_where_all_is_stored()
RUN = checked_run()
RESULTS = f"results/{RUN.run}"
# Snakemake keeps its own records here, before any run starts.
stop_where(check_writable, [Path(".snakemake")])
SOURCES = {**known_sources(), **RUN.sources}
IN_S3 = in_s3(SOURCES)
TRAINED_METHODS = RUN.trained_methods
NETWORK_METHODS = RUN.network_methods
CLASSICAL_METHODS = plugins.names("pipeline.baselines")
DEGRADATIONS = degradations(RUN.degradations, RUN.degrade)
DERIVATIVES = RUN.derivatives
DERIVED_MAPS = RUN.derived_error_maps
DERIVED = {**DERIVATIVES, **DERIVED_MAPS}
# How BIDS writes the endings of results.
BIDS_ENDINGS = {".ome.tiff": ".ome.tif", ".ome.zarr.zip": ".ome.zarr"}
BIDS_LINKS = RUN.bids_links
PREDICTIONS = f"{RESULTS}/predictions"
# Baselines treat all flips and transposes alike: they never disagree with themselves.
DOUBTED = RUN.infer.deliver if RUN.infer.deliver in NETWORK_METHODS else "none"
SELF_SUPERVISED = f"{RESULTS}/self_supervised/{{volume}}/{{role}}.{{kind}}.safetensors"
OWN_ROLES = ["train-columns", "train-rows", "val"]
WEIGHTS = RUN.train.initial_weights
STORE = f"{RUN.store}/{RUN.run}"
# No output of a rule: Snakemake neither waits for this page nor takes it for a result, and no index is overwritten.
FAILURES = f"{RESULTS}/reports/failures.html"
PERCEPTUAL = f"resources/{RUN.train.perceptual_weights}/features.safetensors"
TRAIN_SETTINGS = RUN.train.model_dump_json(
    exclude={"initial_weights", "perceptual_weights"}
)
# Several GPUs share one training through torchrun; those of several nodes through srun as well, which the profile for
# Slurm sets. Resources, since they must rerun nothing.
SHARED = RUN.resources.gpu > 1 and RUN.resources.device != "cpu"
LAUNCH = f"torch.distributed.run --standalone --nproc-per-node={RUN.resources.gpu} -m"


def section(name):
    """Returns one section of the configuration as JSON: a rule is given its own and no other.

    What the rule enforce alone looks at is left out.
    """
    return getattr(RUN, name).model_dump_json(exclude={"on_gate_failure"})


def prepared_with(wildcards):
    """Returns the group of small jobs that share one of a cluster's.

    Stacks wait for the table of duplicates, and it for volumes: in one group they would wait for themselves.
    """
    return "stacks" if RUN.volume(wildcards.volume).is_stack else "volumes"


def memory_mb(wildcards, attempt):
    """Returns the memory that a job asks for: a job that is tried again may have run out of it."""
    return attempt * RUN.resources.memory_mb


def runtime_minutes(wildcards, attempt):
    """Returns the time that a job asks for: a job that is tried again may have run out of it."""
    return attempt * RUN.resources.runtime_minutes


def failure_command(logs):
    """Returns the command that writes the page on a failed run, by the Python that Snakemake itself runs in."""
    settings = ["--settings", section("report"), "--output", FAILURES]
    return shlex.join(
        [
            *(sys.executable, "-m", "pipeline", "failures", "--log", *logs),
            *("--run", RESULTS, *settings),
        ]
    )


def source_file(name):
    """Returns where a source's file is kept."""
    return f"resources/{name}/{SOURCES[name].file_name}"


def volume_entry(wildcards):
    """Returns a volume's entry of the configuration as JSON."""
    return RUN.volume(wildcards.volume).model_dump_json()


def volume_source(wildcards):
    """Returns the file that a volume is read from."""
    return source_file(RUN.volume(wildcards.volume).source)


def volume_segmentation(wildcards):
    """Returns the file of a volume's labels, where it has any."""
    source = RUN.volume(wildcards.volume).segmentation
    return source_file(source) if source else []


def volume_format(wildcards):
    """Returns the name of the format that a volume is read as."""
    return format_of_volume(RUN.volume(wildcards.volume), SOURCES)


def extracted(*splits):
    """Returns the extracted volumes of the given splits."""
    return expand(
        f"{RESULTS}/extracted/{{volume}}.safetensors", volume=RUN.ids(*splits)
    )


def degraded(*splits):
    """Returns the low-resolution volumes of the given splits."""
    return expand(f"{RESULTS}/degraded/{{volume}}.safetensors", volume=RUN.ids(*splits))


def learnt_from(split, kind):
    """Returns the references (hr) or low-resolution images (lr) of training or validation."""
    if not RUN.is_self_supervised:
        return extracted(split) if kind == "hr" else degraded(split)
    return expand(
        SELF_SUPERVISED,
        volume=RUN.ids("train", *TEST_SPLITS),
        role=[role for role in OWN_ROLES if role.startswith(split)],
        kind=kind,
    )


def degraded_otherwise(degradation, *splits):
    """Returns the low-resolution volumes of the given splits under one degradation of the mismatch matrix."""
    pattern = f"{RESULTS}/mismatch/{{degradation}}/degraded/{{volume}}.safetensors"
    return expand(pattern, degradation=degradation, volume=RUN.ids(*splits))


def degradation_entry(wildcards):
    """Returns the settings of a degradation of the mismatch matrix as JSON."""
    return DEGRADATIONS[wildcards.degradation].model_dump_json()


def local_file(wildcards):
    """Returns the user's own file that a source names, so that snakemake notices when it changes.

    A folder of pictures is watched through its folders: they change when a picture comes, goes or is replaced. Where a
    file is missing and no copy of it was kept, it stops and names all that the run lacks.
    """
    source = SOURCES[wildcards.source]
    if source.kind != "local":
        return []
    path = Path(source.path)
    if not path.exists():
        try:
            check_files(RUN)
        except UserError as error:
            raise WorkflowError(str(error)) from None
    return (
        [str(folder) for folder in folders_of(path)] if path.is_dir() else [source.path]
    )


def s3_file(wildcards):
    """Returns the file in S3 that a source names."""
    return IN_S3.get(wildcards.source, [])


def source_entry(wildcards):
    """Returns a source's entry as JSON."""
    return SOURCES[wildcards.source].model_dump_json()


def uncertainty_results():
    """Returns the error maps and what they are worth; nothing where a baseline is delivered."""
    if DOUBTED == "none":
        return []
    maps = error_maps(RUN.evaluated_ids)
    return [rules.reliability.output, rules.uncertainty_table.output, maps]


def start_of(wildcards):
    """Returns the generator that a training starts from; none where it starts from scratch."""
    start = RUN.recipe(wildcards.method).starts_from
    return [] if start == SCRATCH else f"{RESULTS}/models/{start}/generator.safetensors"


def perceptual_of(wildcards):
    """Returns the features of a VGG where a recipe needs them."""
    return PERCEPTUAL if RUN.recipe(wildcards.method).needs_perceptual else []


def optional_files(wildcards, input):
    """Returns the options that name the files which not every recipe has."""
    given = {"--start-from": input.start, "--perceptual": input.perceptual}
    return " ".join(
        f"{flag} {shlex.quote(str(path))}" for flag, path in given.items() if path
    )


def recipe_entry(wildcards):
    """Returns a recipe as JSON."""
    return RUN.recipe(wildcards.method).model_dump_json()


def volume_duplicates(wildcards):
    """Returns the table of near-duplicates for a stack of pictures; volumes have none."""
    return (
        rules.duplicates.output.table if RUN.volume(wildcards.volume).is_stack else []
    )


def downstream_results():
    """Returns the tables of what is done with restored images: each only where a run has such images."""
    return [
        *(rules.tissue_agreement.output if TISSUE_VOLUMES else []),
        *(rules.diagnosis.output if all(CLASSED.values()) else []),
        *(rules.detection.output if INSERTED_SHARDS else []),
    ]


def tested(wildcards):
    """Returns the extracted test volumes, or stops where there are none."""
    if not RUN.is_tested:
        raise WorkflowError(f"this target needs test volumes; {NOT_TESTED}")
    return extracted(*TEST_SPLITS)


def read_references(wildcards):
    """Returns the extracted volumes that readers see slices of, or stops where there are none."""
    tested(wildcards)
    return expand(rules.extract.output.volume, volume=RUN.read_ids)


def derived_file(derivative):
    """Returns the result that becomes a derivative: the deliverable of a volume, or its error map."""
    volume = DERIVED[derivative]
    of_map = ".uncertainty" if derivative in DERIVED_MAPS else ""
    return f"{RESULTS}/sr/{volume}{of_map}{suffix_of(volume)}"


def derived_image(wildcards):
    """Returns the result that becomes an image among the derivatives; the wildcard has its extension."""
    folder, _, name = wildcards.derivative.rpartition("/")
    return derived_file(f"{folder}/{name.partition('.')[0]}")


def derived_result(wildcards):
    """Returns the result that a sidecar among the derivatives describes."""
    return derived_file(wildcards.derivative)


def derived_source(wildcards):
    """Returns the source of a derivative's volume."""
    return SOURCES[RUN.volume(DERIVED[wildcards.derivative]).source]


def derived_model(wildcards):
    """Returns the forward model of a derivative's volume."""
    return f"{RESULTS}/degraded/{DERIVED[wildcards.derivative]}.forward.json"


def derived_link(wildcards):
    """Returns the name of the data set that a derivative was made of."""
    return BIDS_LINKS[derived_source(wildcards).bids]


def derived_entry(wildcards):
    """Returns the source of a derivative's volume as JSON."""
    return derived_source(wildcards).model_dump_json()


def derived_size(wildcards):
    """Returns the size of a derivative's voxels in micrometres, where the configuration or a sidecar gives it."""
    return RUN.volume(DERIVED[wildcards.derivative]).voxel_um or []


def derived_kind(wildcards):
    """Returns the option that marks an error map."""
    return "--error-map" if wildcards.derivative in DERIVED_MAPS else ""


def raw_sidecars(wildcards):
    """Returns the sidecars of the image that a derivative was made of, the most general first."""
    return derived_source(wildcards).sidecars


def bids_results():
    """Returns the whole data set of derivatives; nothing where no volume came from a BIDS folder."""
    endings = {name: suffix_of(volume) for name, volume in DERIVED.items()}
    images = [
        f"{RESULTS}/bids/{name}{BIDS_ENDINGS.get(ending, ending)}"
        for name, ending in endings.items()
    ]
    sidecars = expand(rules.derivative_sidecar.output, derivative=DERIVED)
    return [*rules.describe_derivatives.output, *images, *sidecars] if DERIVED else []


def stored_results(wildcards):
    """Returns the results in S3: what a run ends with, and its networks."""
    if RUN.store is None:
        raise WorkflowError(
            "store: say where in S3 the results are kept, such as s3://bucket/project"
        )
    models = [
        *rules.convert.output,
        *expand(rules.train.output, method=TRAINED_METHODS),
    ]
    # Derivatives that are folders are stored as the zipped deliverables that they come from.
    single = [path for path in rules.all.input if not path.endswith(".ome.zarr")]
    files = [path.removeprefix(f"{RESULTS}/") for path in [*single, *models]]
    return [storage.s3(f"{STORE}/{file}") for file in dict.fromkeys(files)]


wildcard_constraints:
    degradation="|".join(DEGRADATIONS),
    # Not the ids themselves: of ten thousand, looking for one among all of them at every file takes minutes.
    volume="[A-Za-z0-9][A-Za-z0-9_-]*",
    source="[A-Za-z0-9][A-Za-z0-9_-]*",
    method="|".join(NETWORK_METHODS),
    shard=r"\d+",
