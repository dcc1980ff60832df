"""Methods of a run in prose, written from its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import plugins
from pipeline.baselines.tuning.apply import Tuning
from pipeline.config.parameters import PhysicalParameters, shown
from pipeline.config.recipe import DISTILLATION, PRETRAINED, SCRATCH, Recipe, preset
from pipeline.config.sections import Extract
from pipeline.image.image import Image
from pipeline.image.stack import PLANE
from pipeline.physics.forward import ForwardModel, describe_noise, describe_operators
from pipeline.provenance.record import Provenance, VolumeRecord
from pipeline.reporting.literature import Bibliography
from pipeline.reporting.numbers import format_share, format_voxels
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.titles import (
    BASELINES,
    NETWORKS,
    baselines,
    in_order,
    loss_title,
    method_title,
    network_description,
    readable,
)

LEFT_OUT = {
    "too_large": "pictures larger than the size limit",
    "near_duplicate": "validation or test pictures with a near-duplicate in another split",
}

CHANNELS = (
    "Each channel is restored as separate slices, with its own foreground and intensity range; red, green and blue of "
    "a colour image share both. Metrics are averaged over channels."
)

CONVERTED = "They were converted to one grey channel, which does not change the output for grey images. "
COMMON_TRAINING = (
    "All networks were trained on the training slices only. Patches were rotated and flipped at random, some with a "
    "random change of contrast, and their noise was drawn anew. The learning rate followed a linear warm-up and a "
    "cosine decay. The exponential moving average of the weights was kept."
)


PLANES = {
    "in_plane": "",
    "through_plane": "The networks upsample slices perpendicular to the thick slices; the results for both "
    "perpendicular orientations were averaged. ",
    "isotropic": "The networks upsample slices. For each of the three axes, the low-resolution volume was interpolated "
    "along the axis by cubic B-splines and its slices were upsampled; the three results were averaged. Training "
    "patches were simulated alike: degraded along all three axes, with noise, then interpolated across the slice. The "
    "noise level given to the network is that of the volume before interpolation. ",
}
"""How networks for slices upsample volumes, by the direction of the degradation."""
ANY_RATIO = (
    "Lines across the thick slices were reconstructed on the grid of the reference by least squares with a quadratic "
    "penalty. The networks, which are given noise level, spacing and thickness of the slices, restore planes across "
    "the slices; the results for both orientations were averaged. "
)
"""How networks that restore thick slices of any ratio do so."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of the methods with its heading."""

    heading: str
    text: str


def describe_data(volumes: Sequence[VolumeRecord], record: Provenance, books: Bibliography) -> Paragraph:
    """Describe the volumes and their sources."""
    sentences = []
    for name in dict.fromkeys(name for volume in volumes for name in volume.sources):
        source = record.source(name)
        version = f", version {source.version}" if source and source.version else ""
        used = ", ".join(volume.id for volume in volumes if name in volume.sources)
        title = (source and source.title) or name
        mark = books.cite_text(source.citation if source else "")
        licence = (source and source.licence) or "not stated"
        sentences.append(f"{used}: {title}{mark} (source {name}{version}; licence: {licence}).")
    combined = [volume.id for volume in volumes if len(volume.sources) > 1]
    if combined:
        sentences.append(
            f"{', '.join(combined)}: several scans of one head, combined into one volume with isotropic voxels"
            f"{books.cite('gholipour2010')}."
        )
    return Paragraph("Data", " ".join(sentences))


def describe_extraction(record: Provenance, books: Bibliography) -> Paragraph:
    """Describe reading, masking and normalisation of volumes and pictures."""
    settings = record.config.extract
    stacks = [volume for volume in record.volumes if volume.collection]
    others = [volume for volume in record.volumes if not volume.collection]
    sentences = _volume_sentences(others, settings, books) if others else []
    return Paragraph(
        "Extraction",
        " ".join([*sentences, *([_picture_sentences(stacks, settings.min_foreground)] if stacks else [])]),
    )


def _volume_sentences(volumes: Sequence[VolumeRecord], settings: Extract, books: Bibliography) -> list[str]:
    """Describe reading, masking and normalisation of volumes and micrographs; `settings` is the section `extract`."""
    anatomical = [volume for volume in volumes if volume.plane != PLANE]
    planes = {volume.plane for volume in volumes}
    plane = f"{next(iter(planes)).capitalize()} slices" if len(planes) == 1 and anatomical else "Slices"
    sentences = []
    if anatomical:
        sentences.append("Volumes were reoriented to RAS without resampling.")
        sentences.append(_plane_sentence(anatomical))
    if len(anatomical) < len(volumes):
        sentences.append("Slices of micrographs were used in their stored orientation.")
    if settings.foreground == "all":
        sentences.append("The whole image is foreground.")
    else:
        sentences.append(
            "The foreground is the largest connected component above half of Otsu's threshold, with holes filled."
        )
    if settings.bias_correction:
        sentences.append(f"The bias field was removed with N4{books.cite('n4')}.")
    sentences.append(
        f"Intensities were normalised linearly: 0 is the {volumes[0].offset_percentile}th percentile of the image "
        f"and 1 the {volumes[0].scale_percentile}th percentile of the foreground, both estimated from the block of "
        "slices alone. "
        f"{plane} with at least {format_share(settings.min_foreground)} foreground were used."
    )
    if any(len(volume.channels or ()) > 1 for volume in volumes):
        sentences.append(CHANNELS)
    return sentences


def _plane_sentence(volumes: Sequence[VolumeRecord]) -> str:
    """Describe the plane of the slices of anatomical volumes, with the reason for its choice."""
    found: dict[tuple[str, str], list[str]] = {}
    for volume in volumes:
        found.setdefault((volume.plane, volume.plane_reason or ""), []).append(volume.id)
    parts = []
    for (plane, reason), names in found.items():
        where = f" in {', '.join(names)}" if len(found) > 1 else ""
        parts.append(f"{plane}{where}{f', since {reason}' if reason else ''}")
    return f"Slices are {'; '.join(parts)}."


def _picture_sentences(stacks: Sequence[VolumeRecord], min_foreground: float) -> str:
    """Describe masking and normalisation of pictures, and the number of excluded ones."""
    counts = {why: sum(stack.left_out.get(why, 0) for stack in stacks) for why in LEFT_OUT}
    left_out = ", ".join(f"{count} {LEFT_OUT[why]}" for why, count in counts.items())
    return (
        "Each picture was processed separately: its foreground is the largest connected component above half of Otsu's "
        "threshold, with holes filled; 0 is the 0.1th percentile of the picture and 1 the 99.9th percentile of its "
        "foreground. Red, green and blue of a colour picture were processed as separate slices with common settings, "
        "and metrics are averaged over the three. Pictures with at least "
        f"{format_share(min_foreground)} foreground were used; excluded were {left_out}."
    )


def _simulation_limits(operators: Sequence[PhysicalParameters], micrographs: bool) -> str:
    """Describe the limits of a simulated low-resolution input."""
    if micrographs:
        return (
            "The noise of a volume was drawn from one seed, so all methods received the same input. Real "
            "low-resolution images can differ in ways that the simulation does not model, such as deformation, uneven "
            "staining and other artefacts."
        )
    thick = "" if any(step.name == "slice_profile" for step in operators) else "thick slices, "
    return (
        "The noise of a volume was drawn from one seed, so all methods received the same input. Real low-resolution "
        f"scans can differ in ways that the simulation does not model, such as {thick}motion and other artefacts."
    )


def describe_degradation(model: ForwardModel, reference: Image, books: Bibliography) -> Paragraph:
    """Describe the simulation of one low-resolution volume, with voxel sizes before and after."""
    spacing, unit = reference.spacing, reference.unit
    before = format_voxels(spacing, unit)
    after = format_voxels([length * factor for length, factor in zip(spacing, model.factors, strict=True)], unit)
    return Paragraph(
        "Low-resolution volume",
        f"The low-resolution volume was simulated from the reference: {model.describe()}"
        f"{books.cite_known(model.noise)}. The voxel size increased from {before} to {after}. "
        f"{_simulation_limits(model.operators, reference.plane == PLANE)}",
    )


def describe_degradations(record: Provenance, books: Bibliography) -> Paragraph:
    """Describe the simulation of all low-resolution volumes, from the configuration."""
    settings = record.config.degrade
    planes = {volume.plane for volume in record.volumes} - {PLANE}
    micrographs = not planes and all(not volume.collection for volume in record.volumes)
    plane = f"{next(iter(planes))} " if len(planes) == 1 else ""
    axes = {
        "in_plane": f"both axes of the {plane}plane" if plane else "both in-plane axes of each volume",
        "through_plane": f"the axis perpendicular to the {plane}slices",
        "isotropic": "all three axes",
    }
    return Paragraph(
        "Low-resolution volumes",
        f"The low-resolution volumes were simulated from the reference: {describe_operators(settings.operators)} by "
        f"{shown(settings.factor)} along {axes[settings.direction]}, "
        f"{describe_noise(settings.noise_settings, settings.noise_sigma)}"
        f"{books.cite_known(settings.noise)}. {_simulation_limits(settings.operators, micrographs)}",
    )


def recipe_of(record: Provenance, method: str) -> Recipe | None:
    """Return the recipe of a network; None if neither the configuration nor a preset has it."""
    is_known = method in record.config.recipes or preset(method) is not None
    return record.config.recipe(method) if is_known else None


def describe_networks(record: Provenance, networks: Sequence[str], deliver: str, books: Bibliography) -> Paragraph:
    """Describe the networks, the origin of their weights, and their training.

    Args:
        record: provenance record of the run.
        networks: names of the networks of the run; there may be none.
        deliver: method of the deliverable.
        books: bibliography of the page.
    """
    deliverable = "" if deliver not in baselines() else f" The deliverable of this run is {method_title(deliver)}."
    if not networks:
        return Paragraph("Networks", f"This run has no networks: it compares baselines alone.{deliverable}")
    trained = [name for name in in_order(networks, deliver) if name != PRETRAINED]
    initial = named = ""
    if PRETRAINED in networks:
        initial = _initial_network(record, books)
        named = f"{_quoted(PRETRAINED)} is this network without further training. "
    return Paragraph(
        "Networks",
        f"{initial}{ANY_RATIO if record.config.restores_any_ratio else PLANES[record.config.degrade.direction]}{named}"
        f"{''.join(_training_sentences(record, name, books) for name in trained)}{COMMON_TRAINING if trained else ''}"
        f"{_consistency_sentences(record, trained, books)}{deliverable}",
    )


def _initial_network(record: Provenance, books: Bibliography) -> str:
    """Describe the network of train.initial_weights, with a trailing space."""
    name = record.config.train.initial_weights
    source = record.source(name)
    network = source and source.network
    origin = (source and source.title) or name
    citation = books.cite_text(source.citation if source else "")
    blocks = f" with {network.blocks} residual-in-residual dense blocks" if network else ""
    kind = f"an RRDBNet{blocks}{books.cite('esrgan')}"
    if network is not None and network.architecture != "rrdbnet":
        kind = f"{network.architecture} with {network.blocks} residual blocks"
    is_grey = network is not None and network.channels == 1
    return (
        f"The initial network is {kind}. Its weights are {origin}{citation}, trained on "
        f"{network.trained_on if network else 'unknown data'}. {'' if is_grey else CONVERTED}"
    )


def _training_sentences(record: Provenance, method: str, books: Bibliography) -> str:
    """Describe a trained network and its training, with a trailing space."""
    reference = NETWORKS[method].reference if method in NETWORKS else ""
    mark = books.cite(reference) if reference else ""
    sentence = f"{_quoted(method)} is {network_description(method)}{mark}"
    recipe = recipe_of(record, method)
    if recipe is None:
        return f"{sentence}. "
    start = "from scratch" if recipe.starts_from == SCRATCH else f"from {_quoted(recipe.starts_from)}"
    start += f", with the first {recipe.keep_blocks} of its residual blocks," if recipe.keep_blocks else ""
    resolution = "low" if recipe.ratio_range is None else "high"
    return (
        f"{sentence}. It was trained {start} for {recipe.steps} steps with Adam{books.cite('adam')}, "
        f"{recipe.batch_size} patches of {recipe.patch_lr} x {recipe.patch_lr} {resolution}-resolution voxels per "
        f"step, learning rate {recipe.learning_rate:g}; loss {_loss_terms(recipe, books)}. "
    )


def _loss_terms(recipe: Recipe, books: Bibliography) -> str:
    """Describe the loss terms of a recipe with their weights."""
    terms = [
        f"{weight:g} x {loss_title(name)}{books.cite(name) if name == 'ldl' else ''}"
        f"{f' from {_quoted(recipe.teacher)}' if name == DISTILLATION and recipe.teacher else ''}"
        for name, weight in recipe.losses.items()
    ]
    adversarial = recipe.adversarial
    if adversarial is not None:
        kind = adversarial.loss.replace("_", " ")
        terms.append(f"{adversarial.weight:g} x adversarial ({kind}, {adversarial.discriminator.replace('_', ' ')})")
    return " + ".join(terms)


def _quoted(method: str) -> str:
    return f"\N{LEFT DOUBLE QUOTATION MARK}{method_title(method)}\N{RIGHT DOUBLE QUOTATION MARK}"


def _consistency_sentences(record: Provenance, trained: Sequence[str], books: Bibliography) -> str:
    """Describe the data-consistency step; empty if it was not used."""
    if not trained or not record.config.infer.data_consistency:
        return ""
    return (
        " A data-consistency step was applied to the results of trained networks: the result was degraded again, and "
        "its difference from the low-resolution input was mapped back by the pseudo-inverse of the operator and added "
        f"with a weight{books.cite('consistency')}. The weight decreases with the noise level and was chosen for each "
        "network on the validation volumes."
    )


def describe_baselines(tuning: Tuning) -> Paragraph:
    """Describe the baselines and, if given, the settings of the tuned ones."""
    described = [
        f"{method_title(name)}: {plugins.load(BASELINES, name).DESCRIPTION.rstrip('.')}." for name in baselines()
    ]
    chosen = [
        f"{method_title(name)}: {', '.join(f'{readable(key)} {settings[key]:g}' for key in sorted(settings))}"
        for name, settings in tuning.items()
    ]
    if chosen:
        described.append(f"Settings tuned on the validation volumes: {'; '.join(chosen)}.")
    return Paragraph("Baselines", " ".join(described))


NOISY_REGIONS = {"neighbours", "denoised"}
NOISY_REFERENCE = (
    " The reference itself contains noise, which no method can predict, so metrics against it stay low even for a good "
    "restoration."
)


def region_text(regions: Sequence[str]) -> str:
    """Describe the regions and references of the metrics."""
    words = {
        "foreground": "over the foreground",
        "interior": "over the foreground without its outermost 4 voxels",
        "whole": "over the whole slice",
        "unseen": "over the foreground of the slices that contribute nothing to the low-resolution volume",
        "neighbours": "over the foreground against the mean of the two neighbouring slices",
        "denoised": "over the foreground against the reference after self-supervised denoising",
        "labels": "over every segmented structure",
    }
    *others, last = (words[region] for region in regions)
    return f"{', '.join(others)} and {last}" if others else last


def describe_metrics(record: Provenance, books: Bibliography) -> Paragraph:
    """Describe the metrics and the statistics."""
    settings = record.config.evaluate
    alone = ", pictures one by one" if record.stacks else ""
    modules = {name: plugins.load("pipeline.metrics", name) for name in settings.metrics}
    measures = " ".join(
        f"{module.TITLE} ({module.SOURCE}){books.cite_known(name)}: {module.RANGE}; "
        f"{'higher' if module.HIGHER_IS_BETTER else 'lower'} is better."
        for name, module in modules.items()
    )
    wholes = [module.TITLE for module in modules.values() if hasattr(module, "per_volume")]
    whole = f" Computed on whole volumes instead of slices: {', '.join(wholes)}." if wholes else ""
    noisy = NOISY_REFERENCE if NOISY_REGIONS & set(settings.regions) else ""
    return Paragraph(
        "Metrics and statistics",
        f"{measures} Each was computed per slice, {region_text(settings.regions)}, and averaged over the slices "
        f"of a volume.{whole}{noisy} The data range is 1.0 in normalised intensities for all methods and slices. The "
        "best baseline was chosen on the validation volumes, for each metric and region. "
        f"Differences from it are paired. {format_share(settings.confidence)} intervals come from a circular block "
        f"bootstrap{books.cite('bootstrap')} over slices ({settings.bootstrap_block_slices} neighbouring slices "
        f"per block{alone}, {settings.bootstrap_samples} resamples). On the page of a volume, the interval "
        "reflects the variation between its slices, not between subjects.",
    )


def describe_software(record: Provenance, books: Bibliography) -> Paragraph:
    """Describe the software."""
    packages = record.packages
    named = ", ".join(f"{name} {packages[name]}" for name in ("snakemake", "torch", "numpy") if name in packages)
    return Paragraph("Software", f"BrainSR {record.brainsr}, run by Snakemake{books.cite('snakemake')} ({named}).")


def index_methods(run: RunRecord) -> tuple[tuple[Paragraph, ...], tuple[str, ...]]:
    """Return the methods of a run over all volumes, and the references they cite, in the order of their numbers."""
    record, books = run.provenance, Bibliography()
    paragraphs = (
        describe_data(record.volumes, record, books),
        describe_extraction(record, books),
        describe_degradations(record, books),
        describe_networks(record, [model.method for model in run.models], run.deliver, books),
        describe_baselines({}),
        describe_metrics(record, books),
        describe_software(record, books),
    )
    return paragraphs, books.references
