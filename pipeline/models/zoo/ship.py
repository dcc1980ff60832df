"""Add a trained network to those that ship, or replace it: weights in half precision, model card, and table."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
import yaml

from pipeline.config.known import known_sources
from pipeline.config.load import read_run, read_yaml
from pipeline.config.recipe import PRETRAINED, Recipe
from pipeline.config.run import Run
from pipeline.config.shipped import (
    TABLE,
    Modality,
    ShippedNetwork,
    read_networks,
    shipped_networks,
    weights_file,
    zoo_folder,
)
from pipeline.config.sources import Network, Source
from pipeline.errors import UserError
from pipeline.files import replacing, sha256_of, write_text
from pipeline.image.lengths import range_in_words
from pipeline.models.calibration import intervals_for
from pipeline.models.card import CAUTION
from pipeline.models.error_intervals import MAP_LEVEL
from pipeline.models.generator import Generator
from pipeline.models.record import NetworkRecord
from pipeline.models.weights import load_generator, save_tensors
from pipeline.tables.network_gains import NETWORK_GAINS, NetworkGain, span

logger = logging.getLogger(__name__)

MAX_MEGABYTES = 10
"""Maximum size of the weights of a network, in 10^6 bytes."""
HEADER = """\
# The networks that ship, in the order of preference. Written by `python -m pipeline.models.zoo`, see docs/networks.md.
"""
GAIN, UNCERTAINTY = "## Measured gain", "Uncertainty maps: "
"""Heading of a model card, and the beginning of the paragraph after the gains."""
INITIAL = "## Training of the initial network"
"""Beginning of a heading of a model card."""
ABOUT_TRAINING = (
    *("- Recipe:", "- Initial weights:", "- Licence of the initial weights:", "- Citation of the initial weights:"),
    *("- Loss:", "- Length:"),
)
"""Beginnings of the lines that a card copies from the card of the initial network."""


def ship(
    name: str,
    method: Path,
    config: Path,
    *,
    gains: Path | None = None,
    calibration: Path | None = None,
    purpose: str | None = None,
    licence: str | None = None,
    trained_on: str | None = None,
    citation: str | None = None,
    modality: Modality | None = None,
) -> None:
    """Write the files of a network that ships, and its entry of the table.

    Texts and the modality remain as they are in the table if they are not given.

    Args:
        name: of the network, such as mri-x4.
        method: folder of the trained method, such as results/mri-x4/models/rrdb_l1.
        config: configuration of its run.
        gains: CSV file of measured gains, with the columns of pipeline/tables/network_gains.py; None if not measured.
        calibration: uncertainty/calibration.json of its run; None if not calibrated.
        purpose: what the network is for, in one sentence.
        licence: licence of the weights.
        trained_on: summary of the training data, as the end of "trained on ...".
        citation: citation.
        modality: images that it restores.

    Raises:
        UserError: a file cannot be read, the configuration does not train the method, a text is missing, a source of
            training data is not a known source, the calibration is that of another network or of results that
            `brainsr apply` restores otherwise, or the weights are too large or exceed half precision.
    """
    table = zoo_folder() / TABLE
    if not table.is_file():
        write_text(table, HEADER + "{}\n")
    networks = dict(read_networks(table))
    before = networks.get(name)
    generator = load_generator(method / "generator.safetensors")
    run = read_run(read_yaml(config), files=[config])
    chain = _stages(run, method.name)
    sources = _training_sources(run, chain)
    if calibration:
        generator.record = _with_intervals(generator, calibration, method / "generator.safetensors", run)
    rows = tuple(NETWORK_GAINS.read_rows(gains)) if gains else ()
    texts = {
        "purpose": purpose or (before and before.purpose),
        "licence": licence or (before and before.licence),
        "trained-on": trained_on or (before and before.network.trained_on),
        "citation": citation or (before and before.citation),
        "modality": modality or (before and before.modality),
    }
    missing = [f"--{text}" for text, value in texts.items() if not value]
    if missing:
        raise UserError(f"{', '.join(missing)}: required for a new network, {name!r}.")
    if generator.record.direction is None:
        raise UserError(f"{method}: the network does not record the axes that it enlarges; train it with this version.")
    weights = table.with_name(weights_file(name))
    _write_half(weights, generator)
    shape = generator.shape
    entry = ShippedNetwork(
        purpose=str(texts["purpose"]),
        modality=cast(Modality, texts["modality"]),
        direction=generator.record.direction,
        factor=None if shape.slice_maps else shape.factor,
        sha256=sha256_of(weights),
        licence=str(texts["licence"]),
        citation=str(texts["citation"]),
        network=Network.model_validate(
            {field: getattr(shape, field) for field in Network.model_fields if hasattr(shape, field)}
            | {"trained_on": texts["trained-on"]}
        ),
        training_sources=tuple(sources),
        gains=rows,
    )
    recorded = (method / "model_card.md").read_text(encoding="utf-8")
    write_text(table.with_name(f"{name}.md"), model_card(name, entry, run, chain, sources, recorded, generator.record))
    write_text(table, _table_text({**networks, name: entry}))
    read_networks.cache_clear()
    logger.info("%s: %s, %.1f MB, %d measured gains", name, weights, weights.stat().st_size / 1e6, len(rows))


def record_gains(name: str, gains: Path) -> None:
    """Write measured gains into table and card of a network that ships.

    Args:
        name: of the network.
        gains: CSV file, with the columns of pipeline/tables/network_gains.py.

    Raises:
        UserError: no such network ships, or the file cannot be read.
    """
    table = zoo_folder() / TABLE
    networks = dict(read_networks(table))
    if name not in networks:
        raise UserError(f"no network {name!r} ships; give --method and --config to add it.")
    rows = tuple(NETWORK_GAINS.read_rows(gains))
    path = table.with_name(f"{name}.md")
    before, heading, after = path.read_text(encoding="utf-8").partition(f"{GAIN}\n")
    _, uncertainty, rest = after.partition(f"\n{UNCERTAINTY}")
    write_text(path, "\n".join([f"{before}{heading}", *_gain_lines(rows), f"{uncertainty}{rest}"]))
    write_text(table, _table_text({**networks, name: networks[name].model_copy(update={"gains": rows})}))
    read_networks.cache_clear()
    logger.info("%s: %d measured gains", name, len(rows))


def _with_intervals(network: Generator, calibration: Path, file: Path, run: Run) -> NetworkRecord:
    """Return the record of a network with its calibrated intervals; errors as `ship`."""
    intervals = intervals_for(calibration, file, sha256_of(file))
    # `brainsr apply` knows the forward model of thick slices alone, which networks of any ratio restore.
    applied = network.shape.slice_maps
    if run.infer.data_consistency != applied:
        found, wanted = ("without", "with") if applied else ("with", "without")
        raise UserError(
            f"--calibration: {calibration} was calibrated on results {found} data consistency, but `brainsr apply` "
            f"uses this network {wanted} it; set infer.data_consistency: {str(applied).lower()} in the configuration, "
            "and run the workflow again."
        )
    return network.record.model_copy(update={"error_intervals": intervals})


def _stages(run: Run, method: str) -> list[Recipe]:
    """Return the recipes of a method and of all networks that its training reads, directly or through others.

    Raises:
        UserError: the configuration does not train the method.
    """
    if method not in run.trained_methods:
        raise UserError(f"{run.run}: trains {', '.join(run.trained_methods) or 'nothing'}, but not {method!r}.")
    names = [method]
    for name in names:
        earlier = run.recipe(name).earlier_networks
        names.extend(one for one in earlier if one in run.trained_methods and one not in names)
    return [run.recipe(name) for name in names]


def _training_sources(run: Run, stages: Sequence[Recipe]) -> dict[str, Source]:
    """Return the sources of all training and validation volumes, and those of an initial network or teacher that ships.

    Raises:
        UserError: one is not a known source, so that a later run could test on it unnoticed.
    """
    names = [name for volume in run.volumes if volume.split in ("train", "val") for name in volume.source_names]
    initial = shipped_networks().get(run.train.initial_weights)
    if initial is not None and any(PRETRAINED in stage.earlier_networks for stage in stages):
        names.extend(initial.training_sources)
    known = known_sources()
    unknown = sorted({name for name in names if name not in known})
    if unknown:
        raise UserError(
            f"{run.run}: training data of networks that ship must be known sources (pipeline/config/known_sources.yaml)"
            f"; these are not: {', '.join(unknown)}."
        )
    return {name: known[name] for name in dict.fromkeys(names)}


def _write_half(path: Path, generator: Generator) -> None:
    """Write a generator in half precision; its file keeps shape and record.

    Raises:
        UserError: a weight exceeds the range of half precision, or the file is too large; nothing is written.
    """
    half = {
        layer: tensor.half() if tensor.is_floating_point() else tensor
        for layer, tensor in generator.network.state_dict().items()
    }
    large = next((layer for layer, tensor in half.items() if not torch.isfinite(tensor).all()), None)
    if large is not None:
        raise UserError(f"{path.name}: the layer {large!r} exceeds the range of half precision.")
    metadata = {"network": generator.shape.to_json(), "record": generator.record.model_dump(mode="json")}
    with replacing(path) as partial:
        save_tensors(partial, half, metadata)
        megabytes = partial.stat().st_size / 1e6
        if megabytes > MAX_MEGABYTES:
            raise UserError(f"{path.name}: {megabytes:.1f} MB; networks that ship have at most {MAX_MEGABYTES} MB.")


def _table_text(networks: Mapping[str, ShippedNetwork]) -> str:
    """Return the table of networks as YAML, with one line per measured gain."""
    values = {name: json.loads(one.model_dump_json()) for name, one in networks.items()}
    parts = [HEADER]
    for name, one in values.items():
        gains = [{key: value for key, value in row.items() if value is not None} for row in one.pop("gains")]
        text = yaml.safe_dump({name: one}, sort_keys=False, allow_unicode=True, width=110)
        lines = [yaml.safe_dump(row, default_flow_style=True, sort_keys=False, width=1000).strip() for row in gains]
        parts.append(text + "  gains:" + ("".join(f"\n    - {line}" for line in lines) or " []") + "\n")
    return "\n".join(parts)


def model_card(
    name: str,
    entry: ShippedNetwork,
    run: Run,
    stages: Sequence[Recipe],
    sources: Mapping[str, Source],
    recorded: str,
    record: NetworkRecord,
) -> str:
    """Return the model card of a network that ships.

    Args:
        name: of the network.
        entry: its entry of the table.
        run: configuration of its training.
        stages: recipes of the network and of those that its training read.
        sources: sources of the training and validation volumes.
        recorded: model card that the training wrote.
        record: record of the network.
    """
    _, _, training = recorded.partition("\n")
    persons = {split: {one.subject for one in run.volumes if one.split == split} for split in ("train", "val")}
    lines = [
        f"# {name}",
        "",
        entry.purpose,
        "",
        f"- Enlarges: {entry.enlargement()}",
        f"- Licence of the weights: {entry.licence}",
        f"- Citation: {entry.citation}",
        f"- SHA-256 of the weights (half precision): {entry.sha256}",
        f"- Trained on: {entry.network.trained_on}",
        "",
        GAIN,
        "",
        *_gain_lines(entry.gains),
        "",
        _uncertainty_line(record),
        "",
        "## Data",
        "",
        f"Subjects (persons, specimens or label maps): {len(persons['train'])} in training, {len(persons['val'])} in "
        "validation. None of these images may be used to test this network or any network initialised with it.",
        "",
        *_data_lines(sources),
        *_loss_network(run, stages),
        "",
        "## Training",
        "",
        training.replace(CAUTION, "").strip(),
        *_initial_network(run, stages),
        "",
        CAUTION,
    ]
    return "\n".join(lines)


def _gain_lines(gains: Sequence[NetworkGain]) -> list[str]:
    if not gains:
        return ["Not measured."]
    titles = ("Contrast", "Factor", "Voxel size", "Noise", "Subjects", "Gain (dB)", "SSIM", "Best baseline")
    rows = [
        (
            row.contrast,
            span(row.factor_min, row.factor_max),
            range_in_words(row.voxel_min, row.voxel_max),
            span(100 * row.sigma_min, 100 * row.sigma_max) + " %",
            str(row.subjects),
            f"{row.psnr_gain:+.2f}" + (f" [{row.ci_low:+.2f}, {row.ci_high:+.2f}]" if row.has_interval else ""),
            f"{row.ssim_gain:+.3f}",
            row.baseline,
        )
        for row in gains
    ]
    return [
        "Mean difference from the best tuned baseline over subjects that were not in the training data, with 95 % "
        "intervals for at least five.",
        "",
        *(f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *rows)),
    ]


def _uncertainty_line(record: NetworkRecord) -> str:
    if record.error_intervals is None:
        return f"{UNCERTAINTY}standard deviation over test-time augmentation; not calibrated."
    persons = ", ".join(record.error_intervals.subjects)
    return (
        f"{UNCERTAINTY}half-width of the {100 * MAP_LEVEL:.0f} % prediction interval of each voxel, calibrated on "
        f"the validation persons {persons}."
    )


def _data_lines(sources: Mapping[str, Source]) -> Iterable[str]:
    """List the sources by licence and citation."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, source in sources.items():
        groups[source.licence, source.citation].append(name)
    for (licence, citation), names in groups.items():
        yield f"- {', '.join(names)}. Licence: {licence}. {citation or 'No citation given.'}"


def _initial_network(run: Run, stages: Sequence[Recipe]) -> list[str]:
    """Describe the training of the initial network, and that of its own, if it ships; from its card.

    An earlier version of the same network still has its card when the new one is written.
    """
    initial = shipped_networks().get(run.train.initial_weights)
    if initial is None or not any(PRETRAINED in stage.earlier_networks for stage in stages):
        return []
    card = zoo_folder() / f"{run.train.initial_weights}.md"
    _, _, training = card.read_text(encoding="utf-8").partition("## Training\n")
    earlier = [line for line in training.splitlines() if line.startswith((*ABOUT_TRAINING, INITIAL))]
    lines = [f"{INITIAL}, {run.train.initial_weights} with the SHA-256 {initial.sha256}", *earlier]
    return [part for line in lines for part in (["", line, ""] if line.startswith(INITIAL) else [line])]


def _loss_network(run: Run, stages: Sequence[Recipe]) -> list[str]:
    """Describe the network of the perceptual loss; nothing where no recipe has this loss."""
    if not any(recipe.needs_perceptual for recipe in stages):
        return []
    source = {**known_sources(), **run.sources}[run.train.perceptual_weights]
    return [f"- Network of the perceptual loss: {source.title}. Licence: {source.licence}. {source.citation}"]
