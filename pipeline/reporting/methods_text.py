"""What was done, in words, written from the records of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import plugins
from pipeline.config.recipe import PRETRAINED, SCRATCH, Recipe, filled, preset
from pipeline.config.sections import Degrade
from pipeline.image.stack import PLANE
from pipeline.physics.forward import ForwardModel, noise_in_words, operators_in_words
from pipeline.physics.parameters import PhysicalParameters
from pipeline.reporting.literature import Bibliography
from pipeline.reporting.run_record import RunRecord, source_of, stacks_of
from pipeline.reporting.titles import (
    BASELINES,
    NETWORKS,
    baselines,
    in_order,
    loss_title,
    method_title,
    network_description,
)

Record = Mapping[str, Any]

LEFT_OUT = {
    "too_large": "pictures of more than the allowed size",
    "near_duplicate": "validation or test pictures with a near-duplicate in another split",
}

CHANNELS = (
    "Each channel is restored as slices of its own, with a foreground and range of its own, but red, green and blue of "
    "a coloured image share these. Measures are means over the channels."
)

COMMON_TRAINING = (
    "All of them learnt from the training slices alone. Patches were turned and mirrored at random, some also changed "
    "in contrast, and the noise of each was drawn afresh. The learning rate rises first and then falls along a cosine. "
    "The weights averaged over the steps were kept."
)


PLANES = {
    "in_plane": "",
    "through_plane": "They enlarge slices that cut through all of the thick ones; the results for those along both "
    "other axes were averaged. ",
    "isotropic": "They enlarge slices. For each of the three axes in turn, the low-resolution volume was interpolated "
    "along it by cubic B-splines and the slices across it were enlarged; the three results were averaged. Patches to "
    "learn from were made alike: degraded along all three axes, with noise, then interpolated across the slice. The "
    "noise that a network is told is that of the volume before it is interpolated. ",
}
"""How networks that know slices enlarge volumes, by the axes that became coarser."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of the methods, with its heading."""

    heading: str
    text: str


def weights_words(record: Record) -> str:
    """Says in a few words what the initial network is."""
    network = source_of(record, record["config"]["train"]["initial_weights"]).get("network") or {}
    return f"trained on {network['trained_on']}" if "trained_on" in network else "of unknown training"


def data_words(volumes: Sequence[Record], record: Record, books: Bibliography) -> Paragraph:
    """Says what the volumes are and where they come from."""
    sentences = []
    for name in dict.fromkeys(volume["source"] for volume in volumes):
        source = source_of(record, name)
        version = f", version {source['version']}" if source.get("version") else ""
        used = ", ".join(volume["id"] for volume in volumes if volume["source"] == name)
        title = source.get("title") or name
        mark = books.cite_text(source.get("citation") or "")
        licence = source.get("licence") or "not stated"
        sentences.append(f"{used}: {title}{mark} (source {name}{version}; licence: {licence}).")
    return Paragraph("Data", " ".join(sentences))


def extraction_words(record: Record, books: Bibliography) -> Paragraph:
    """Says how volumes were read, masked and normalised, and pictures where there are any."""
    settings = record["config"]["extract"]
    stacks = [volume for volume in record["volumes"] if volume["id"] in stacks_of(record)]
    others = [volume for volume in record["volumes"] if volume not in stacks]
    sentences = volume_sentences(others, settings, books) if others else []
    return Paragraph(
        "Extraction", " ".join([*sentences, *([picture_words(stacks, settings["min_foreground"])] if stacks else [])])
    )


def volume_sentences(volumes: Sequence[Record], settings: Record, books: Bibliography) -> list[str]:
    """Says how volumes and micrographs were read, masked and normalised; `settings` is the section `extract`."""
    anatomical = [volume for volume in volumes if volume["plane"] != PLANE]
    planes = {volume["plane"] for volume in volumes}
    plane = f"{next(iter(planes)).capitalize()} slices" if len(planes) == 1 and anatomical else "Slices"
    sentences = []
    if anatomical:
        sentences.append("Each volume was turned to RAS orientation without resampling.")
        sentences.append(plane_sentence(anatomical))
    if len(anatomical) < len(volumes):
        sentences.append("The slices of micrographs were taken as they are.")
    if settings.get("foreground") == "all":
        sentences.append("All of an image counts as foreground.")
    else:
        sentences.append("The foreground is the largest connected part above half of Otsu's threshold, holes filled.")
    if settings["bias_correction"]:
        sentences.append(f"The bias field was removed with N4{books.cite('n4')}.")
    sentences.append(
        f"Intensities were mapped linearly, so that 0 is the {volumes[0]['offset_percentile']}th percentile of the "
        f"image and 1 the {volumes[0]['scale_percentile']}th percentile of its foreground. All of this was estimated "
        "from the block of slices alone. "
        f"{plane} with at least {settings['min_foreground']:.0%} foreground were used."
    )
    if any(len(volume.get("channels") or ()) > 1 for volume in volumes):
        sentences.append(CHANNELS)
    return sentences


def plane_sentence(volumes: Sequence[Record]) -> str:
    """Says in which plane the slices of anatomical volumes lie, and why."""
    found: dict[tuple[str, str], list[str]] = {}
    for volume in volumes:
        found.setdefault((volume["plane"], volume.get("plane_reason") or ""), []).append(volume["id"])
    parts = []
    for (plane, reason), names in found.items():
        where = f" in {', '.join(names)}" if len(found) > 1 else ""
        parts.append(f"{plane}{where}{f', since {reason}' if reason else ''}")
    return f"Slices are {'; '.join(parts)}."


def picture_words(stacks: Sequence[Record], min_foreground: float) -> str:
    """Says how pictures were read, masked and normalised, and how many were left out."""
    counts = {why: sum((stack.get("left_out") or {}).get(why, 0) for stack in stacks) for why in LEFT_OUT}
    left_out = ", ".join(f"{count} {LEFT_OUT[why]}" for why, count in counts.items())
    return (
        "Each picture is taken by itself: its foreground is the largest connected part above half of Otsu's threshold, "
        "with holes filled; 0 is the 0.1th percentile of the picture and 1 the 99.9th percentile of its foreground. Of "
        "coloured pictures, red, green and blue are treated alike, each as a slice, and measures are means over the "
        f"three. Pictures with at least {min_foreground:.0%} foreground were used; left out were {left_out}."
    )


def simulated_words(operators: Sequence[PhysicalParameters]) -> str:
    """Says what a simulated measurement is good for, and what it leaves out."""
    thick = "" if any(step.name == "slice_profile" for step in operators) else "thick slices, "
    return (
        "One seed a volume fixes the noise, so that all methods were given the same measurement. A real low-resolution "
        f"scan may differ in ways that this simulation leaves out, such as {thick}motion and other artefacts."
    )


def noise_citation(name: str, books: Bibliography) -> str:
    """Return the mark of the work that a noise comes from; empty where none is cited."""
    return books.cite_known(name)


def forward_words(model: ForwardModel, spacing: Sequence[float], unit: str, books: Bibliography) -> Paragraph:
    """Says how the low-resolution volume came about, with voxel sizes before and after."""
    before = " x ".join(f"{length:.3g}" for length in spacing)
    after = " x ".join(f"{length * factor:.3g}" for length, factor in zip(spacing, model.factors, strict=True))
    return Paragraph(
        "Low-resolution volume",
        f"The low-resolution volume was simulated from the reference: {model.describe()}"
        f"{noise_citation(model.noise, books)}. Voxels grew from {before} {unit} to {after} {unit}. "
        f"{simulated_words(model.operators)}",
    )


def degrade_words(record: Record, books: Bibliography) -> Paragraph:
    """Says how all low-resolution volumes came about, from the configuration."""
    settings = Degrade.model_validate_json(json.dumps(record["config"]["degrade"]))
    planes = {volume["plane"] for volume in record["volumes"]} - {PLANE}
    plane = f"{next(iter(planes))} " if len(planes) == 1 else ""
    axes = {
        "in_plane": f"both axes of the {plane}plane" if plane else "both axes of the plane of each volume's slices",
        "through_plane": f"the axis across the {plane}slices",
        "isotropic": "all three axes",
    }
    return Paragraph(
        "Low-resolution volumes",
        f"The low-resolution volumes were simulated from the reference: {operators_in_words(settings.operators)} by "
        f"{settings.factor} along {axes[settings.direction]}, "
        f"{noise_in_words(settings.noise_settings, settings.noise_sigma)}"
        f"{noise_citation(settings.noise, books)}. {simulated_words(settings.operators)}",
    )


def recipe_of(record: Record, method: str) -> Recipe | None:
    """Return how a network was trained; None where neither the configuration nor a preset says so."""
    given = record["config"].get("recipes", {}).get(method)
    if given is None and preset(method) is None:
        return None
    return Recipe.model_validate_json(json.dumps(filled(method, given or {})))


def network_words(record: Record, networks: Sequence[str], deliver: str, books: Bibliography) -> Paragraph:
    """Says what the networks are, where their weights came from, and how those that were trained were trained.

    Args:
        record: of the run.
        networks: names of the run's networks.
        deliver: method of the deliverable.
        books: numbers the works that are cited.
    """
    source = source_of(record, record["config"]["train"]["initial_weights"])
    network = source.get("network") or {}
    origin = source.get("title") or source["name"]
    blocks = f" with {network['blocks']} residual-in-residual dense blocks" if "blocks" in network else ""
    trained = [name for name in in_order(networks, deliver) if name != PRETRAINED]
    deliverable = "" if deliver not in baselines() else f" The deliverable of this run is {method_title(deliver)}."
    return Paragraph(
        "Networks",
        f"The initial network is an RRDBNet{blocks}{books.cite('esrgan')}. Its weights are "
        f"{origin}{books.cite_text(source.get('citation') or '')}, {weights_words(record)}. They were folded to one "
        "grey channel, which does not change what the network makes of a grey picture. "
        f"{PLANES[record['config']['degrade']['direction']]}"
        f"{_quoted(PRETRAINED)} is that network as it is. "
        f"{''.join(training_words(record, name, books) for name in trained)}{COMMON_TRAINING if trained else ''}"
        f"{consistency_words(record, trained, books)}{deliverable}",
    )


def training_words(record: Record, method: str, books: Bibliography) -> str:
    """Says in a sentence or two what a trained network is and how it was trained, with a space at the end."""
    reference = NETWORKS[method].reference if method in NETWORKS else ""
    mark = books.cite(reference) if reference else ""
    sentence = f"{_quoted(method)} is {network_description(method)}{mark}"
    recipe = recipe_of(record, method)
    if recipe is None:
        return f"{sentence}. "
    start = "from scratch" if recipe.starts_from == SCRATCH else f"from {_quoted(recipe.starts_from)}"
    return (
        f"{sentence}. It was trained {start} for {recipe.steps} steps with Adam{books.cite('adam')}, "
        f"{recipe.batch_size} patches of {recipe.patch_lr} x {recipe.patch_lr} low-resolution voxels a step, learning "
        f"rate {recipe.learning_rate:g}; loss {loss_words(recipe, books)}. "
    )


def loss_words(recipe: Recipe, books: Bibliography) -> str:
    """Says what a recipe minimises: its terms with their weights."""
    terms = [
        f"{weight:g} x {loss_title(name)}{books.cite(name) if name == 'ldl' else ''}"
        for name, weight in recipe.losses.items()
    ]
    adversarial = recipe.adversarial
    if adversarial is not None:
        kind = adversarial.loss.replace("_", " ")
        terms.append(f"{adversarial.weight:g} x adversarial ({kind}, {adversarial.discriminator.replace('_', ' ')})")
    return " + ".join(terms)


def _quoted(method: str) -> str:
    return f"\N{LEFT DOUBLE QUOTATION MARK}{method_title(method)}\N{RIGHT DOUBLE QUOTATION MARK}"


def consistency_words(record: Record, trained: Sequence[str], books: Bibliography) -> str:
    """Says that results of trained networks were corrected toward the measurement; nothing where none was."""
    if not trained or not record["config"]["infer"]["consistency"]:
        return ""
    return (
        " Results of trained networks were degraded again and compared with the measurement, and a share of the "
        f"difference was put back through the pseudo-inverse of the operator{books.cite('consistency')}; the share is "
        "smaller the noisier the measurement is, and was chosen for each network on the validation volumes."
    )


def baseline_words(tuning: Record | None) -> Paragraph:
    """Says what the baselines are and how the tuned one was tuned."""
    described = [
        f"{method_title(name)}: {plugins.load(BASELINES, name).DESCRIPTION.rstrip('.')}." for name in baselines()
    ]
    chosen = (tuning or {}).get("settings")
    if isinstance(chosen, Mapping):
        settings = ", ".join(f"{key.replace('_', ' ')} {chosen[key]:g}" for key in sorted(chosen))
        described.append(f"Tuning chose these settings for non-local means: {settings}.")
    return Paragraph("Baselines", " ".join(described))


NOISY_REGIONS = {"neighbours", "denoised"}
NOISY_REFERENCE = (
    " The reference is noisy itself, which no method can foretell: measures against it stay low however good a "
    "restoration is."
)


def region_words(regions: Sequence[str]) -> str:
    """Says over what measures were taken, and against what."""
    words = {
        "foreground": "over the foreground",
        "whole": "over the whole slice",
        "neighbours": "over the foreground against the mean of the slices before and after",
        "denoised": "over the foreground against the reference as self-supervision denoised it",
        "labels": "over every structure of the segmentations",
    }
    *others, last = (words[region] for region in regions)
    return f"{', '.join(others)} and {last}" if others else last


def measure_words(record: Record, books: Bibliography) -> Paragraph:
    """Says what the metrics are and how intervals were found."""
    settings = record["config"]["evaluate"]
    alone = ", pictures one by one" if stacks_of(record) else ""
    modules = {name: plugins.load("pipeline.metrics", name) for name in settings["metrics"]}
    measures = " ".join(
        f"{module.TITLE} ({module.SOURCE}){books.cite_known(name)}: {module.RANGE}; "
        f"{'higher' if module.HIGHER_IS_BETTER else 'lower'} is better."
        for name, module in modules.items()
    )
    wholes = [module.TITLE for module in modules.values() if hasattr(module, "per_volume")]
    whole = f" On every volume as a whole, and not slice by slice: {', '.join(wholes)}." if wholes else ""
    noisy = NOISY_REFERENCE if NOISY_REGIONS & set(settings["regions"]) else ""
    return Paragraph(
        "Measures and statistics",
        f"{measures} Each was taken slice by slice, {region_words(settings['regions'])}, and averaged over the slices "
        f"of a volume.{whole}{noisy} The full range is 1.0 in the reference's normalised intensities, for all methods "
        "and "
        "slices. The best baseline was chosen on the validation volumes, for each measure and region. "
        f"Differences to it are paired. Their {settings['confidence']:.0%} intervals come from a circular block "
        f"bootstrap{books.cite('bootstrap')} over slices ({settings['bootstrap_block_slices']} neighbouring slices "
        f"drawn together{alone}, {settings['bootstrap_samples']} resamples). On the page of a volume, such an interval "
        "tells how sure the difference is for the slices of this volume. It tells nothing of other subjects.",
    )


def workflow_words(record: Record, books: Bibliography) -> Paragraph:
    """Says which programs ran."""
    packages = record["packages"]
    named = ", ".join(f"{name} {packages[name]}" for name in ("snakemake", "torch", "numpy") if name in packages)
    return Paragraph("Software", f"BrainSR {record['brainsr']}, run by Snakemake{books.cite('snakemake')} ({named}).")


def index_methods(run: RunRecord) -> tuple[tuple[Paragraph, ...], tuple[str, ...]]:
    """Return the methods of a run over all volumes, and the references they cite, in the order of their numbers."""
    record, books = run.provenance, Bibliography()
    paragraphs = (
        data_words(record["volumes"], record, books),
        extraction_words(record, books),
        degrade_words(record, books),
        network_words(record, [model.method for model in run.models], run.deliver, books),
        baseline_words(None),
        measure_words(record, books),
        workflow_words(record, books),
    )
    return paragraphs, books.references
