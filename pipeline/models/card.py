"""Model cards: what a network is, what it learnt from, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from pipeline.config.sources import Source
from pipeline.config.stages import Train

CAUTION = """## Limits

Research software. The output shows what is likely, not what was measured: detail below the resolution of the input can
be wrong. It must not be used for diagnosis or treatment. Before you use it on another scanner, sequence or species, run
the workflow with held-out volumes of your own and read the report.
"""


def pretrained_card(source: Source, network: nn.Module) -> str:
    """Returns the card of a network as it was downloaded."""
    return "\n".join(
        [
            f"# {source.title or 'Pretrained network'}, untouched",
            "",
            f"- Trained on: {_trained_on(source)}",
            f"- Architecture: RRDBNet, {_size(network)} parameters, enlarges by 4",
            "- Change made here: folded from colour to one channel (first convolution summed over its inputs, last one",
            "  averaged over its outputs), which gives the same result on a grey image",
            f"- Licence of the weights: {source.licence}",
            f"- Citation: {source.citation or 'none given'}",
            "",
            "It stands in the tables to show what fine-tuning changes. It is not meant to be used on medical images.",
            "",
            CAUTION,
        ]
    )


def trained_card(
    source: Source,
    network: nn.Module,
    settings: Train,
    volumes: Sequence[Mapping[str, Any]],
    history: Sequence[Mapping[str, float]],
) -> str:
    """Returns the card of a fine-tuned network.

    Args:
        source: the initial weights' entry in the table of sources.
        network: the trained network.
        settings: the section `train`.
        volumes: facts of the training and validation volumes.
        history: rows of the training's history.
    """
    learnt = [f"  - {_describe(facts)}" for facts in volumes if facts["split"] == "train"]
    validated = [f"  - {_describe(facts)}" for facts in volumes if facts["split"] == "val"]
    model = volumes[0]["forward_model"]
    losses = ", ".join(f"{weight:g} x {name}" for name, weight in settings.losses.items())
    last = history[-1]
    measured = ", ".join(
        f"{name.removeprefix('val_')} {value:.4g}" for name, value in last.items() if name.startswith("val_")
    )
    return "\n".join(
        [
            "# RRDBNet fine-tuned with a pixel loss (rrdb_l1)",
            "",
            f"- Architecture: RRDBNet, {_size(network)} parameters, one channel, enlarges by 4",
            f"- Initial weights: {source.title}; trained on {_trained_on(source)}",
            f"- Licence of the initial weights: {source.licence}",
            f"- Citation of the initial weights: {source.citation or 'none given'}",
            "- Learnt from:",
            *learnt,
            "- Settings chosen and progress watched on (no evidence of quality):",
            *validated,
            f"- Forward model: {model['operator']}, factors {tuple(model['factors'])}, {model['noise']} noise of "
            f"{model['noise_sigma']:.1%}; drawn afresh for every patch",
            f"- Loss: {losses}; Adam, learning rate {settings.learning_rate:g} with a cosine decay",
            f"- Length: {settings.steps} steps, {settings.batch_size} patches of {settings.patch_lr} x "
            f"{settings.patch_lr} low-resolution voxels each",
            f"- Contrast changed at random in {settings.contrast_augmentation:.0%} of the patches",
            f"- Averaged weights (decay {settings.ema_decay:g}) are kept; on some validation slices: {measured}",
            "",
            CAUTION,
        ]
    )


def _size(network: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in network.parameters()):,}"


def _trained_on(source: Source) -> str:
    return source.network.trained_on if source.network else "unknown"


def _describe(facts: Mapping[str, Any]) -> str:
    start, stop = facts["slices"]
    block = f"{facts['plane']} slices {start} to {stop - 1} ({len(facts['foreground_slices'])} with foreground)"
    return f"{facts['id']}: subject {facts['subject']}, {block}"
