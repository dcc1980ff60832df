# Shards: one job a stage handles the evaluated volumes of a shard, and writes a table or a folder. What other programs rely
# on is a file a volume: the rules that write these are one rule a shard, since their outputs have no wildcard in common.

from functools import cache

SHARDS = RUN.sharded(RUN.evaluated_ids)
METHODS_BY_KIND = {"classical": CLASSICAL_METHODS, "network": NETWORK_METHODS}
CLASSICAL = f"{RESULTS}/restored/{{shard}}/classical"
RESTORED = f"{RESULTS}/restored/{{shard}}/networks/{{method}}"
DENOISED = f"{RESULTS}/denoised/{{shard}}"
SPREAD = f"{RESULTS}/uncertainty/spread/{{method}}/{{shard}}"
DISAGREEMENT = f"{RESULTS}/uncertainty/maps/{{shard}}"
RELIABILITY = f"{RESULTS}/uncertainty/{{shard}}.reliability.csv"
DOUBTED_SHARDS = SHARDS if DOUBTED != "none" else {}
PAGE = f"{RESULTS}/reports/{{volume}}.html"


@cache
def suffix_of(volume):
    """Returns the suffix of a volume's predictions: they are of the family of its source."""
    return result_suffix(RUN.volume(volume), SOURCES)


def named(volumes):
    """Returns how a message calls the volumes of a shard."""
    rest = f"{len(volumes) - 1} more volumes" if len(volumes) > 2 else volumes[-1]
    return volumes[0] if len(volumes) == 1 else f"{volumes[0]} and {rest}"


def of_shard(files, shards):
    """Returns an input function: what another function gives for the volumes of a shard."""
    return lambda wildcards: files(shards[wildcards.shard])


def part_of(table, shard, shards):
    """Returns a shard's part of a table, where the shard is among those that have one."""
    return expand(table, shard=[shard] if shard in shards else [])


def references(volumes):
    """Returns the extracted volumes."""
    return expand(rules.extract.output.volume, volume=volumes)


def measured(volumes):
    """Returns the low-resolution volumes."""
    return expand(rules.degrade.output.volume, volume=volumes)


def stored(volume):
    """Returns the ending of a volume's files between stages."""
    return ".safetensors"


def files_in(folder, volumes, ending):
    """Returns the files of volumes in a folder, where there is one."""
    return [f"{folder}/{volume}{ending(volume)}" for volume in volumes if folder]


def read_from(name, ending):
    """Returns a function for params: the files of a shard's volumes in the input folder of this name."""
    return lambda wildcards, input: files_in(
        input.get(name), SHARDS[wildcards.shard], ending
    )


def written_to(name, ending):
    """Returns a function for params: the files of a shard's volumes in the output folder of this name, if it has one."""
    return lambda wildcards, output: files_in(
        output.get(name), SHARDS[wildcards.shard], ending
    )


def results_in(folders, volumes):
    """Returns the results in folders, each of one method: all of the first volume, then all of the next one."""
    return [
        f"{folder}/{volume}{suffix_of(volume)}"
        for volume in volumes
        for folder in folders
    ]


def classical_folders(folder):
    """Returns the folders of the baselines inside a shard's folder."""
    return [f"{folder}/{method}" for method in CLASSICAL_METHODS]


def restored_in(classical, networks, volumes):
    """Returns the results of all methods in the folders of a shard: all of the first volume, then all of the next."""
    return results_in([*classical_folders(classical), *networks], volumes)


def restored_files(shards):
    """Returns a function for params: the results of all methods in the input folders of a shard."""
    return lambda wildcards, input: restored_in(
        input.classical, input.networks, shards[wildcards.shard]
    )


def restored_of(volumes):
    """Returns a function for params: the results of all methods for volumes of one shard, in its input folders."""
    return lambda wildcards, input: restored_in(
        input.classical, input.networks, volumes
    )


def restored_folders(kind, shard):
    """Returns the folders of a shard with the results of all methods of a kind."""
    if kind == "classical":
        return [CLASSICAL.format(shard=shard)]
    return expand(RESTORED, method=NETWORK_METHODS, shard=shard)


def restored_by(kind, volumes):
    """Returns a function for params: the results of a kind's methods for volumes of one shard, volume by volume."""
    if kind == "classical":
        return lambda wildcards, input: results_in(classical_folders(input[0]), volumes)
    return lambda wildcards, input: results_in(input, volumes)


def delivered_folder(shard):
    """Returns the folder of a shard in which the delivered method's results are, among others."""
    pattern = RESTORED if RUN.infer.deliver in NETWORK_METHODS else CLASSICAL
    return pattern.format(method=RUN.infer.deliver, shard=shard)


def delivered_in(volumes):
    """Returns a function for params: the delivered method's results for volumes of one shard, in its input folder."""

    def paths(wildcards, input):
        folders = dict(zip(CLASSICAL_METHODS, classical_folders(input.folder)))
        return results_in([folders.get(RUN.infer.deliver, input.folder)], volumes)

    return paths


def spreads_of_val(wildcards, input):
    """Returns the disagreement over views of the validation volumes, in the input folders of their shards."""
    folders = dict(zip(VAL_SHARDS, input.spreads))
    names = {name: shard for shard, names in VAL_SHARDS.items() for name in names}
    return [f"{folders[names[name]]}/{name}.safetensors" for name in RUN.ids("val")]


def maps_of(volumes):
    """Returns a function for params: the error maps of volumes in their input folder, where there is one."""
    return lambda wildcards, input: files_in(input.folder, volumes, stored)


def predictions_by(methods, volumes):
    """Returns the predictions of methods: all of the first volume, then all of the next one."""
    return results_in([f"{PREDICTIONS}/{method}" for method in methods], volumes)


def all_predictions(volumes):
    """Returns the predictions of all methods, volume by volume."""
    return predictions_by([*CLASSICAL_METHODS, *NETWORK_METHODS], volumes)


def delivered(volumes):
    """Returns the deliverables of volumes."""
    return [f"{RESULTS}/sr/{volume}{suffix_of(volume)}" for volume in volumes]


def error_maps(volumes):
    """Returns the maps of expected errors that stand beside the deliverables."""
    return [
        f"{RESULTS}/sr/{volume}.uncertainty{suffix_of(volume)}" for volume in volumes
    ]


def tissues_of(wildcards):
    """Returns the order of the tissues of volumes which show nothing but brain, "unnamed" for others."""
    volumes = TISSUE_SHARDS[wildcards.shard]
    return [RUN.volume(volume).tissues or "unnamed" for volume in volumes]
