"""What was done, in words, written from the records of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import plugins
from pipeline.physics.forward import ForwardModel
from pipeline.reporting.methods import UPSAMPLERS, classical_methods, method_title
from pipeline.reporting.references import Bibliography

Record = Mapping[str, Any]

SIMULATED = (
    "One seed a volume fixes the noise, so that all methods were given the same measurement. A real low-resolution "
    "scan may differ in ways that this simulation leaves out, such as motion, other artefacts and thick slices."
)


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of the methods, with its heading."""

    heading: str
    text: str


def gap_of(record: Record, volume: str) -> int | None:
    """Returns the slices between a volume and the nearest block of the same head that the network learnt from."""
    distances = [
        gap["slices"]
        for gap in record["gaps"]
        if (gap["one"] == volume and gap["other_split"] == "train")
        or (gap["other"] == volume and gap["one_split"] == "train")
    ]
    return min(distances, default=None)


def source_of(record: Record, name: str) -> Record:
    """Returns the record of a source; an empty one where it is not known."""
    return next((source for source in record["sources"] if source["name"] == name), {"name": name})


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
    """Says how volumes were read, masked and normalised."""
    settings = record["config"]["extract"]
    percentile = next((volume["scale_percentile"] for volume in record["volumes"]), None)
    bias = f"The bias field was removed with N4{books.cite('n4')}. " if settings["bias_correction"] else ""
    return Paragraph(
        "Extraction",
        "Each volume was turned to RAS orientation without resampling. Its foreground is the largest connected part "
        f"above half of Otsu's threshold, with holes filled. {bias}Intensities were divided by the {percentile}th "
        "percentile of the foreground, so that 1.0 is that value. All of this was estimated from the block of slices "
        f"alone. {settings['plane'].capitalize()} slices with at least {settings['min_foreground']:.0%} foreground "
        "were used.",
    )


def operator_words(name: str) -> str:
    """Returns the name of an operator as it is written in a sentence."""
    return name.replace("_", " ").replace("kspace", "k-space")


def noise_words(name: str, sigma: float) -> str:
    """Says what noise was added."""
    if name == "none" or sigma == 0:
        return "without noise"
    title = {"rician": "Rician"}.get(name, name.replace("_", " "))
    return f"then {title} noise with a standard deviation of {sigma:.1%} of the normalised range"


def forward_words(model: ForwardModel, spacing: Sequence[float], unit: str, books: Bibliography) -> Paragraph:
    """Says how the low-resolution volume came about, with voxel sizes before and after."""
    before = " x ".join(f"{length:.3g}" for length in spacing)
    after = " x ".join(f"{length * factor:.3g}" for length, factor in zip(spacing, model.factors, strict=True))
    factors = " x ".join(str(factor) for factor in model.factors)
    mark = books.cite("rician") if model.noise == "rician" else ""
    return Paragraph(
        "Low-resolution volume",
        f"The low-resolution volume was simulated from the truth: {operator_words(model.operator)} by {factors} along "
        f"the axes x, y and z, {noise_words(model.noise, model.noise_sigma)}{mark}. Voxels grew from {before} {unit} "
        f"to {after} {unit}. {SIMULATED}",
    )


def degrade_words(record: Record, books: Bibliography) -> Paragraph:
    """Says how all low-resolution volumes came about, from the configuration."""
    settings = record["config"]["degrade"]
    mark = books.cite("rician") if settings["noise"] == "rician" else ""
    return Paragraph(
        "Low-resolution volumes",
        f"The low-resolution volumes were simulated from the truth: {operator_words(settings['operator'])} by "
        f"{settings['factor']} along both axes of the {record['config']['extract']['plane']} plane, "
        f"{noise_words(settings['noise'], settings['noise_sigma'])}{mark}. {SIMULATED}",
    )


def network_words(record: Record, deliver: str, books: Bibliography) -> Paragraph:
    """Says what the networks are, where their weights came from, and how the fine-tuned one was trained."""
    train = record["config"]["train"]
    source = source_of(record, train["initial_weights"])
    network = source.get("network") or {}
    origin = source.get("title") or source["name"]
    blocks = f" with {network['blocks']} residual-in-residual dense blocks" if "blocks" in network else ""
    losses = ", ".join(f"{weight:g} x {name.upper()}" for name, weight in train["losses"].items())
    changed = (
        f" The contrast of {train['contrast_augmentation']:.0%} of the patches was changed at random."
        if train["contrast_augmentation"]
        else ""
    )
    deliverable = (
        "" if deliver not in classical_methods() else f" The deliverable of this run is {method_title(deliver)}."
    )
    return Paragraph(
        "Networks",
        f"The network is an RRDBNet{blocks}{books.cite('esrgan')}. Its initial weights are "
        f"{origin}{books.cite_text(source.get('citation') or '')}, {weights_words(record)}. They were folded to one "
        "grey channel, which does not change what the network makes of a grey picture. "
        f"\N{LEFT DOUBLE QUOTATION MARK}{method_title('pretrained')}\N{RIGHT DOUBLE QUOTATION MARK} is that network "
        f"as it is. \N{LEFT DOUBLE QUOTATION MARK}{method_title('rrdb_l1')}\N{RIGHT DOUBLE QUOTATION MARK} was "
        f"trained further on the training slices alone: {train['steps']} steps with Adam{books.cite('adam')}, "
        f"{train['batch_size']} patches of {train['patch_lr']} x {train['patch_lr']} low-resolution voxels a step, "
        f"turned and mirrored at random, noise drawn afresh for each; loss {losses}; learning rate "
        f"{train['learning_rate']:g} after {train['warmup_steps']} steps of warm-up, falling along a cosine. The "
        f"weights averaged over the steps (decay {train['ema_decay']:g}) were kept.{changed}"
        f"{consistency_words(record, books)}{deliverable}",
    )


def consistency_words(record: Record, books: Bibliography) -> str:
    """Says whose results were corrected toward the measurement, and how far; nothing where none was."""
    shares = {name: share for name, share in record["config"]["infer"]["consistency"].items() if share > 0}
    corrected = " and ".join(f"{method_title(name)} ({share:.0%})" for name, share in sorted(shares.items()))
    if not corrected:
        return ""
    return (
        " Results were degraded again and compared with the measurement, and a share of the difference was put back "
        f"through the pseudo-inverse of the operator{books.cite('consistency')}: {corrected}."
    )


def baseline_words(tuning: Record | None) -> Paragraph:
    """Says what the classical methods are and how the tuned one was tuned."""
    described = [
        f"{method_title(name)}: {plugins.load(UPSAMPLERS, name).DESCRIPTION.rstrip('.')}."
        for name in classical_methods()
    ]
    chosen = (tuning or {}).get("settings")
    if isinstance(chosen, Mapping):
        settings = ", ".join(f"{key.replace('_', ' ')} {chosen[key]:g}" for key in sorted(chosen))
        described.append(f"Tuning chose these settings for non-local means: {settings}.")
    return Paragraph("Classical methods", " ".join(described))


def measure_words(record: Record, books: Bibliography) -> Paragraph:
    """Says what the metrics are and how intervals were found."""
    settings = record["config"]["evaluate"]
    modules = [plugins.load("pipeline.metrics", name) for name in settings["metrics"]]
    measures = " ".join(
        f"{module.TITLE} ({module.SOURCE}): {module.RANGE}; {'higher' if module.HIGHER_IS_BETTER else 'lower'} is "
        "better."
        for module in modules
    )
    return Paragraph(
        "Measures and statistics",
        f"{measures} Each was taken slice by slice, over the foreground and over the whole slice, and averaged over "
        "the slices of a volume. The full range is 1.0 in the truth's normalised intensities, for all methods and "
        "slices. The best classical method was chosen on the validation volumes, for each measure and region. "
        f"Differences to it are paired. Their {settings['confidence']:.0%} intervals come from a circular block "
        f"bootstrap{books.cite('bootstrap')} over slices ({settings['bootstrap_block_slices']} neighbouring slices "
        f"drawn together, {settings['bootstrap_samples']} resamples). On the page of a volume, such an interval tells "
        "how sure the difference is for the slices of this volume. It tells nothing of other heads.",
    )


def workflow_words(record: Record, books: Bibliography) -> Paragraph:
    """Says which programs ran."""
    packages = record["packages"]
    named = ", ".join(f"{name} {packages[name]}" for name in ("snakemake", "torch", "numpy") if name in packages)
    return Paragraph("Software", f"BrainSR {record['brainsr']}, run by Snakemake{books.cite('snakemake')} ({named}).")
