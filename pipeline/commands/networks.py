"""List the networks that ship, and what they are for."""

from __future__ import annotations

import sys
import textwrap

from pipeline.config.shipped import ShippedNetwork, shipped_networks

WIDTH = 100
NONE = """\
No networks ship with BrainSR yet. `brainsr apply` restores images with the generator.safetensors of a trained method
(--model FILE), or without a network (--model total_variation).
"""


def networks() -> None:
    """List the networks that ship, and what they are for.

    `brainsr apply` chooses among them by the image; --model NAME selects one. They are also possible initial networks
    of a training (train.initial_weights). Gains are differences of PSNR to the best tuned baseline, over persons that
    nobody trained on, with 95 % intervals.
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
    gains = [f"{row.images}: {row.described}" for row in network.gains]
    lines = [*facts, *(["measured gain:", *(f"  {gain}" for gain in gains)] if gains else ["gain: not measured"])]
    wrapped = [line for text in lines for line in textwrap.wrap(text, WIDTH - 2, subsequent_indent="  ")]
    return "\n".join([name, *(f"  {line}" for line in wrapped)]) + "\n"
