"""A network as prior: it restores each scan across its slices; differences from the restored scans are penalised.

The reconstruction penalises the differences between the volume and the mean of the restored scans instead of those of
the volume itself, so that the volume must still agree with all scans.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from pipeline.config.sections import Infer
from pipeline.config.shipped import shipped_networks
from pipeline.errors import UserError
from pipeline.files import sha256_of
from pipeline.formats.io.predictions import restored_image
from pipeline.image.plane import THICK
from pipeline.inference.choice import weights_named
from pipeline.inference.combine.scan import Scan
from pipeline.inference.restoration import restore_measured
from pipeline.inference.thick_slices import slice_ratio, with_slice_model
from pipeline.models.generator import Generator
from pipeline.models.weights import load_generator

NO_MODEL = "none"


@dataclass(frozen=True)
class Prior:
    """A network that restores thick slices of any ratio.

    Attributes:
        name: name of the network that ships, or path of its file.
        sha256: of the file.
        network: on the device of the reconstruction, in evaluation mode.
    """

    name: str
    sha256: str
    network: Generator


def read_prior(model: str, device: torch.device | str) -> Prior | None:
    """Read the network of a prior; None for "none".

    Args:
        model: name of a network that ships, path of a generator.safetensors, or "none".
        device: device of the network.

    Raises:
        UserError: there is no such network, or it does not restore thick slices of any ratio.
    """
    if model == NO_MODEL:
        return None
    weights = weights_named(model)
    if weights is None:
        shipped = ", ".join(name for name, one in shipped_networks().items() if one.factor is None) or "none yet"
        raise UserError(
            f"--model: there is no file or network {model!r}; the networks for several scans that ship are: {shipped}."
        )
    network = load_generator(weights.path).to(device).eval()
    if not network.shape.slice_maps:
        raise UserError(
            f"--model: {model} enlarges by a fixed factor; thick slices need a network of any ratio, such as mri-thick."
        )
    return Prior(weights.name, sha256_of(weights.path), network)


def restored_scan(scan: Scan, prior: Prior) -> Scan:
    """Return a scan restored across its slices to the voxel size within them; others are returned unchanged."""
    if slice_ratio(scan.image) < THICK:
        return scan
    low = with_slice_model(scan.image, scan.profile, scan.sigma)
    restored = restore_measured([prior.network], low, Infer(noise_sigma=scan.sigma)).restored
    return replace(scan, image=restored_image(low, restored), slice_weights=np.ones(0))
