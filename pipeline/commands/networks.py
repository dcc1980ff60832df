"""List the networks that ship, and what they are for."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

from pipeline.config.shipped import ShippedNetwork, shipped_networks
from pipeline.image.lengths import range_in_words
from pipeline.tables.network_gains import NetworkGain, span

WIDTH = 100
NONE = """\
No networks ship with BrainSR yet. `brainsr apply` restores images with the generator.safetensors of a trained method
(--model FILE), or without a network (--model total_variation).
"""


def networks() -> None:
    """List the networks that ship, and what they are for.

    `brainsr apply` chooses one for the image; --model NAME selects one. They can also initialise a training
    (train.initial_weights). Gains are mean differences in PSNR from the best tuned baseline, over subjects (persons
    or specimens) that are not in the training data, with 95 % intervals over subjects. Voxel sizes are those along the
    enlarged axes, before the restoration; noise is given as a percentage of the intensity range.
    """
    known = shipped_networks()
    sys.stdout.write("\n".join(described(name, one) for name, one in known.items()) if known else NONE)


def described(name: str, network: ShippedNetwork) -> str:
    """Return the lines about a network."""
    images = {"mri": "MRI", "micrograph": "micrographs"}[network.modality]
    facts = [
        network.purpose,
        f"{images}; {network.enlargement()}; licence: {network.licence}",
        f"trained on {network.network.trained_on}",
    ]
    wrapped = [line for text in facts for line in textwrap.wrap(text, WIDTH - 2, subsequent_indent="  ")]
    gains = gain_table(network.gains) if network.gains else ["gain: not measured"]
    return "\n".join([name, *(f"  {line}" for line in (*wrapped, *gains))]) + "\n"


def gain_table(gains: Sequence[NetworkGain]) -> list[str]:
    """Return the measured gains as the lines of a table."""
    heads = ("images", "factor", "voxels", "noise, %", "subjects", "gain, dB", "over")
    rows = [
        (
            *(row.contrast, span(row.factor_min, row.factor_max), range_in_words(row.voxel_min, row.voxel_max)),
            *(span(100 * row.sigma_min, 100 * row.sigma_max), str(row.subjects), row.gain, row.baseline),
        )
        for row in gains
    ]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    padded = (map(str.ljust, row, widths) for row in (heads, *rows))
    return ["  ".join(row).rstrip() for row in padded]
