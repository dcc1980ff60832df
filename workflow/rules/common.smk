# Shared by all rules of a run: the validated configuration and file names.
# Only packages that Snakemake itself installs are imported here.

import glob
from importlib.util import find_spec

from snakemake import __version__ as snakemake_version
from snakemake.exceptions import WorkflowError


include: "jobs.smk"


from pipeline import WORKFLOW_FOLDER, plugins
from pipeline.code_version import code_version, files_version
from pipeline.config.families import format_of_volume, result_suffix
from pipeline.config.known import known_sources
from pipeline.config.load import as_json, check_files, read_run
from pipeline.config.mismatch import degradations, without_noise_map
from pipeline.config.preflight import check_queue, check_writable
from pipeline.config.recipe import PRETRAINED, SCRATCH
from pipeline.config.run import NOT_TESTED
from pipeline.config.sections import REFERENCE
from pipeline.config.volumes import TEST_SPLITS
from pipeline.errors import UserError
from pipeline.files import folders_of


def section(name):
    """Return one section of the configuration as JSON, so that a rule depends on its own section only.

    The action on a failed gate is excluded: only the rule enforce uses it.
    """
    return getattr(RUN, name).model_dump_json(exclude={"on_gate_failure"})


def source_file(name):
    """Return the path of the downloaded file of a source."""
    return f"resources/{name}/{SOURCES[name].file_name}"


def volume_file(volume):
    """Return the path of the file that a volume is extracted from."""
    if volume.is_combined:
        return COMBINED.format(volume=volume.id)
    return source_file(volume.origin)


def local_file(wildcards):
    """Return the local file of a source as an input, so that Snakemake detects changes.

    A folder of pictures is tracked through its folders: they change when a picture is added, removed or replaced. If a
    file is missing and not cached, the run stops with a list of all missing files.
    """
    source = SOURCES[wildcards.source]
    if source.kind != "local":
        return []
    path = Path(source.path)
    if not path.exists():
        checked(check_files, RUN)
    return (
        [str(folder) for folder in folders_of(path)] if path.is_dir() else source.path
    )


def pairs(split, kind):
    """Return the references (hr) or low-resolution images (lr) of training or validation."""
    if not RUN.is_self_supervised:
        return expand({"hr": EXTRACTED, "lr": DEGRADED}[kind], volume=RUN.ids(split))
    roles = [role for role in ROLES if role.startswith(split)]
    return expand(PAIRS, volume=RUN.ids("train", *TEST_SPLITS), role=roles, kind=kind)


def tested(wildcards):
    """Return the extracted test volumes, or stop if there are none."""
    if not RUN.is_tested:
        raise WorkflowError(f"this target requires test volumes; {NOT_TESTED}")
    return expand(EXTRACTED, volume=RUN.ids(*TEST_SPLITS))


def pretrained(wildcards):
    """Return the pretrained network, or stop if it does not suit the networks of this run."""
    if PRETRAINED not in NETWORKS:
        wanted = (
            "any ratio (ratio_range)"
            if RUN.restores_any_ratio
            else f"degrade.factor: {RUN.degrade.factor}"
        )
        raise WorkflowError(
            f"this target trains networks from {WEIGHTS} (train.initial_weights), which does not support {wanted}"
        )
    return expand(GENERATOR, method=PRETRAINED)


def stored_results(wildcards):
    """Return the results in S3, or stop if the configuration has no location for them."""
    if RUN.store is None:
        raise WorkflowError(
            "store: set this key to the location of the results in S3, such as s3://bucket/project"
        )
    return [storage.s3(f"{RUN.store}/{RUN.run}/{file}") for file in STORED]


if workflow.storage_settings.default_storage_provider is not None:
    raise WorkflowError(
        "--default-storage-provider is not supported: checkpoints, benchmarks and the RO-Crate require a local file "
        "system. Remove the option; the target `store` copies the results to S3, see docs/storage.md."
    )

RUN = checked(read_run, config, files=[Path(file) for file in workflow.configfiles])
RESULTS = f"results/{RUN.run}"
# Snakemake writes its metadata here before a run starts.
checked(check_writable, [Path(".snakemake")])


onstart:
    checked(
        check_writable, map(Path, [RESULTS, *sorted(glob.glob(f"{RESULTS}/*/"))])
    )
    checked(check_queue, Path.cwd())


SOURCES = {**known_sources(), **RUN.sources}
S3_USERS = sorted(
    f"source {name!r}" for name, source in SOURCES.items() if source.kind == "s3"
) + (["the target of the key `store`"] if RUN.store else [])
if S3_USERS and find_spec("snakemake_storage_plugin_s3") is None:
    raise WorkflowError(
        f"{S3_USERS[0]} is in S3, but Snakemake's storage plug-in for S3 is not installed. "
        "Install it in the environment of snakemake: pip install snakemake-storage-plugin-s3"
    )

BASELINES = plugins.names("pipeline.baselines")
NETWORKS = RUN.network_methods
METHODS = [*BASELINES, *NETWORKS]
DELIVERED = RUN.infer.deliver
# Baselines are (nearly) equivariant to flips and transposes: their standard deviation over them does not predict errors.
HAS_ERROR_MAPS = DELIVERED in NETWORKS
STACKS = [volume for volume in RUN.volumes if volume.is_stack]
SUFFIXES = {
    volume: result_suffix(RUN.volume(volume), SOURCES) for volume in RUN.evaluated_ids
}

EXTRACTED = f"{RESULTS}/extracted/{{volume}}.safetensors"
# Volumes with several sources, and the file into which these are combined.
SEVERAL = [volume for volume in RUN.volumes if volume.is_combined]
COMBINED = f"{RESULTS}/combined/{{volume}}.nii.gz"
DEGRADED = f"{RESULTS}/degraded/{{volume}}.safetensors"
MODEL = f"{RESULTS}/models/{{method}}"
GENERATOR = f"{MODEL}/generator.safetensors"
WEIGHTS = RUN.train.initial_weights
PERCEPTUAL = f"resources/{RUN.train.perceptual_weights}/features.safetensors"
PAGE_SOURCES = files_version(WORKFLOW_FOLDER / "reports")

# One job processes the evaluated volumes of a shard and writes a table or a folder.
SHARDS = RUN.sharded(RUN.evaluated_ids)
VAL_SHARDS = RUN.sharded(RUN.ids("val"))
TEST_SHARDS = RUN.sharded(RUN.ids(*TEST_SPLITS))
TISSUE_SHARDS = RUN.sharded(
    volume for volume in RUN.evaluated_ids if not RUN.volume(volume).is_stack
)
REFERENCES = {
    shard: expand(EXTRACTED, volume=volumes) for shard, volumes in SHARDS.items()
}
MEASURED = {
    shard: expand(DEGRADED, volume=volumes) for shard, volumes in SHARDS.items()
}
# Names of the volumes of a shard in messages.
NAMES = {
    shard: (
        ", ".join(volumes)
        if len(volumes) < 3
        else f"{volumes[0]} and {len(volumes) - 1} more volumes"
    )
    for shard, volumes in SHARDS.items()
}
RESTORED = f"{RESULTS}/restored/{{shard}}/{{method}}"


wildcard_constraints:
    # Not an alternation of the ids: with ten thousand volumes, matching every file would take minutes.
    volume="[A-Za-z0-9][A-Za-z0-9_-]*",
    source="[A-Za-z0-9][A-Za-z0-9_-]*",
    method="|".join(NETWORKS) or "none",
    shard=r"\d+",
