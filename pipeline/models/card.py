"""Model cards: architecture, training data, recipe and limits of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from pipeline.config.recipe import PRETRAINED, SCRATCH, Recipe
from pipeline.config.sources import ShippedSource, Source
from pipeline.config.terms import Terms
from pipeline.image.stack import PLANE
from pipeline.models.generator import Generator
from pipeline.models.record import BackgroundChange, NetworkRecord
from pipeline.physics.forward import ForwardModel, describe_operators
from pipeline.physics.grid import is_isotropic
from pipeline.physics.low_resolution import LowResolutionImage

CAUTION = """## Limits

Research software. The output shows what is likely, not what was measured: detail below the resolution of the input can
be wrong. It must not be used for diagnosis or treatment. Before use with another scanner, sequence or species, run the
workflow on held-out volumes from there and read its report.
"""


def pretrained_card(source: Source, network: Generator) -> str:
    """Return the card of a downloaded network."""
    return "\n".join(
        [
            f"# {source.title or 'Pretrained network'}, not fine-tuned",
            "",
            f"- Trained on: {_trained_on(source)}",
            f"- Architecture: {network.shape.architecture}, {_size(network)} parameters, {_enlarges(network)}",
            *_folded(source),
            *_adapted(source, network),
            f"- Licence of the weights: {source.licence}",
            f"- Citation: {source.citation or 'none given'}",
            *_checksum(source),
            "",
            f"It is evaluated to show the effect of fine-tuning.{_intended(source)}",
            "",
            CAUTION,
        ]
    )


def _folded(source: Source) -> list[str]:
    """Describe the conversion to one channel; nothing for networks that ship, which have one."""
    if isinstance(source, ShippedSource):
        return []
    return [
        "- Conversion: folded from colour to one channel (first convolution summed over its inputs, last one",
        "  averaged over its outputs), which gives the same result on a grey image",
    ]


def _intended(source: Source) -> str:
    return "" if isinstance(source, ShippedSource) else " It is not intended for medical images."


def _adapted(source: Source, network: Generator) -> list[str]:
    """Describe the adaptation to another factor or other axes; nothing where there was none."""
    if source.network is None or (source.network.factor, source.network.factor) == network.factors:
        return []
    return [
        f"- Adaptation: trained for factor {source.network.factor}; the layers that fit were transferred to a network",
        f"  that {_enlarges(network)}, whose results are poor before fine-tuning",
    ]


def _enlarges(network: Generator) -> str:
    if network.shape.slice_maps:
        return "restores planes across thick slices of any ratio, reconstructed on the grid of the result"
    rows, columns = network.factors
    return f"enlarges by {columns}" if rows == columns else f"enlarges columns alone, by {columns}"


def trained_card(
    source: Source,
    network: Generator,
    recipe: Recipe,
    volumes: Sequence[LowResolutionImage],
    history: Sequence[Mapping[str, float]],
    device: str,
    terms: Sequence[Terms] = (),
    start: NetworkRecord | None = None,
) -> str:
    """Return the card of a trained network.

    Args:
        source: of the pretrained network.
        network: the trained network, with its record.
        recipe: of the training.
        volumes: the low-resolution training and validation volumes.
        history: rows of history.csv.
        device: on which the network was trained.
        terms: licences and citations of the volumes.
        start: record of the initial network; None if it is unknown.
    """
    trained = [f"  - {_describe(volume)}" for volume in volumes if volume.identity.split == "train"]
    validated = [f"  - {_describe(volume)}" for volume in volumes if volume.identity.split == "val"]
    models = [volume.forward_model for volume in volumes]
    last = history[-1]
    measured = ", ".join(
        f"{name.removeprefix('val_')} {value:.4g}" for name, value in last.items() if name.startswith("val_")
    )
    return "\n".join(
        [
            f"# {network.record.method}",
            "",
            f"- Recipe: {recipe.source or 'custom'}",
            f"- Architecture: {network.shape.architecture}, {_size(network)} parameters, one channel, "
            f"{_enlarges(network)}",
            *_neighbours(network.shape.neighbours),
            *_planes(volumes[0].forward_model),
            *_origin(recipe, source, start),
            *_teacher(recipe, source),
            "- Training volumes:",
            *trained,
            "- Validation volumes (used to choose settings, no evidence of quality):",
            *validated,
            *_licences(terms),
            f"- Forward model: {_forward(models, recipe)}; drawn anew for every patch",
            f"- Loss: {_losses(recipe)}; Adam, learning rate {recipe.learning_rate:g} with cosine decay",
            f"- Length: {recipe.steps} steps, {recipe.batch_size} patches of {recipe.patch_lr} x "
            f"{recipe.patch_lr} {'low' if recipe.ratio_range is None else 'high'}-resolution voxels each",
            f"- Device: {device}",
            f"- Contrast augmentation: random in {100 * recipe.contrast_augmentation:.0f} % of the patches",
            f"- Averaged weights (decay {recipe.ema_decay:g}) are kept; on some validation slices, before the fidelity "
            f"dial: {measured}",
            *_background(network.record.background_changes),
            "",
            CAUTION,
        ]
    )


def _licences(terms: Sequence[Terms]) -> list[str]:
    """List the licences and citations of the data; nothing if they are unknown."""
    if not terms:
        return []
    listed = [f"  - {one.licence} (volumes: {one.volumes}): {one.citation or 'no citation given'}" for one in terms]
    return ["- Licences of these data:", *listed]


def _background(changes: Sequence[BackgroundChange]) -> list[str]:
    """Describe the treatment of background around heads; nothing where it was not measured."""
    if not changes:
        return []
    listed = ", ".join(f"{change:.2g} by {margin}" for margin, change in changes)
    return [
        "- Background around heads: interpolated by cubic B-splines where this changes the foreground by less than",
        "  `infer.background_tolerance`. Largest change of the foreground, as a fraction of the range, by the number",
        f"  of low-resolution voxels of background that the network computes around it: {listed}",
    ]


def _neighbours(count: int) -> list[str]:
    """Describe the neighbouring slices that a network is given; nothing for networks of single slices."""
    if not count:
        return []
    return [
        f"- Input: each slice with {count} neighbours on each side; missing slices, at the ends of a volume or around",
        "  a single slice, are repetitions of the nearest one",
    ]


def _planes(forward_model: ForwardModel) -> list[str]:
    """Describe the enlargement along all three axes; nothing for other networks."""
    if not is_isotropic(forward_model.factors):
        return []
    return [
        "- Enlarges volumes along all three axes: for each axis, the volume is interpolated along it by cubic",
        "  B-splines, the slices across it are enlarged, and the three results are averaged. The training slices were",
        "  interpolated in the same way; the noise level given to the network is that before interpolation",
    ]


def _origin(recipe: Recipe, source: Source, start: NetworkRecord | None) -> list[str]:
    """Describe the initial weights."""
    if recipe.starts_from == SCRATCH:
        return ["- Initial weights: random"]
    earlier = start.recipe if start and start.recipe else {}
    if recipe.starts_from != PRETRAINED and earlier.get("starts_from") == SCRATCH:
        return [f"- Initial weights: the method {recipe.starts_from}, which was initialised with random weights"]
    before = f"the method {recipe.starts_from}, which was initialised with " if recipe.starts_from != PRETRAINED else ""
    if recipe.keep_blocks:
        before = f"the first {recipe.keep_blocks} of the residual blocks of {before}"
    return [
        f"- Initial weights: {before}{source.title}; trained on {_trained_on(source)}",
        *_terms_of_weights(source, "initial weights"),
    ]


def _teacher(recipe: Recipe, source: Source) -> list[str]:
    """Describe the network whose results were part of the loss; nothing where there was none."""
    if recipe.teacher is None:
        return []
    if recipe.teacher != PRETRAINED:
        return [f"- Teacher: the method {recipe.teacher}"]
    return [f"- Teacher: {source.title}; trained on {_trained_on(source)}", *_terms_of_weights(source, "teacher")]


def _terms_of_weights(source: Source, role: str) -> list[str]:
    """List licence and citation of a network that took part in a training."""
    return [
        f"- Licence of the {role}: {source.licence}",
        f"- Citation of the {role}: {source.citation or 'none given'}",
        *_checksum(source, role),
    ]


def _checksum(source: Source, role: str = "initial weights") -> list[str]:
    """Identify a version of a network that ships; nothing for downloads, whose checksums the record of a run has."""
    return [f"- SHA-256 of the {role}: {source.sha256}"] if isinstance(source, ShippedSource) else []


def _forward(models: Sequence[ForwardModel], recipe: Recipe) -> str:
    """Describe the forward model of the training patches."""
    model = models[0]
    factors = " or ".join(str(one) for one in dict.fromkeys(each.factors for each in models))
    if recipe.ratio_range is not None:
        factors = "{:g} to {:g} across slices of any orientation".format(*recipe.ratio_range)
    low, high = recipe.noise_sigma_range or (model.noise_sigma,) * 2
    noise_map = ", whose level is given to the network" if recipe.noise_map else ""
    level = f"{100 * low:.1f} to {100 * high:.1f} %{noise_map}"
    if recipe.degradations:
        return f"{_alternatives(recipe)}; factors {factors}, noise of {level}"
    steps = describe_operators(model.operator_ranges or model.operators)
    return f"{steps}, factors {factors}, {model.noise.replace('_', ' ')} noise of {level}"


def _alternatives(recipe: Recipe) -> str:
    """Describe the alternative forward models and their shares of the patches."""
    total = sum(one.weight for one in recipe.degradations)
    return "; or ".join(
        f"{describe_operators(one.operators)} with {one.noise_settings.describe()} ({100 * one.weight / total:.0f} %)"
        for one in recipe.degradations
    )


def _losses(recipe: Recipe) -> str:
    terms = [f"{weight:g} x {name}" for name, weight in recipe.losses.items()]
    if recipe.adversarial:
        terms.append(f"{recipe.adversarial.weight:g} x {recipe.adversarial.loss} adversarial loss")
    return ", ".join(terms)


def _size(network: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in network.parameters()):,}"


def _trained_on(source: Source) -> str:
    return source.network.trained_on if source.network else "unknown"


def _describe(volume: LowResolutionImage) -> str:
    block, plane, reason = volume.block, volume.plane, volume.slicing.reason if volume.slicing else ""
    start, stop = block.slices or (0, volume.data.shape[volume.slice_axis])
    count = volume.stack.count_sections(block.foreground_slices)
    why = f"; {plane} since {reason}" if plane != PLANE and reason else ""
    why += "; synthesised from a label map" if block.synthetic else ""
    return (
        f"{volume.id}: subject {volume.identity.subject}, {plane} slices {start} to {stop - 1} "
        f"({count} with foreground{why})"
    )
