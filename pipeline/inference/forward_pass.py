"""Forward passes of slices through a network, on any backend and device."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline import plugins
from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.inference.backends._compute import FULL_PRECISION, Compute
from pipeline.inference.memory import device_of
from pipeline.models.generator import Generator

logger = logging.getLogger(__name__)

BACKENDS = "pipeline.inference.backends"
REFERENCE = "torch"
FASTEST_FIRST = ("openvino", REFERENCE)
"""Backends that `auto` tries, the fastest on processors first (docs/performance.md). Speed is not measured on each
machine, since the last digits of a result must not depend on its load."""


@dataclass(frozen=True)
class Engine:
    """A network that is ready to restore slices.

    Attributes:
        compute: see `pipeline.inference.backends`.
        factors: enlargement along rows and columns.
        device: where the network is.
        transposes: whether the network treats rows and columns alike, so that slices may be transposed.
    """

    compute: Compute
    factors: tuple[int, int]
    device: torch.device
    transposes: bool

    def restore(self, images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        """Pass low-resolution slices through the network.

        Args:
            images: normalised intensities, shape (..., depth, rows, columns): a slice between its neighbours, as many
                as the network is given (`Shape.depth`), or several of them along leading axes.
            sigma: standard deviation of the noise, as a fraction of the normalised range.

        Returns:
            The restored slices, float32, with the same leading axes.
        """
        flat = np.array(images, dtype=np.float32).reshape(-1, *images.shape[-3:])
        restored = self.compute(flat, sigma)
        return restored.reshape(*images.shape[:-3], *restored.shape[-2:])


_ready: WeakKeyDictionary[nn.Module, tuple[Any, Engine]] = WeakKeyDictionary()
"""The last engine of each network, and its key."""


def engine_for(network: Any, settings: Infer) -> Engine:
    """Return the engine of a network. Engines that take time to prepare are kept until the weights change.

    A network that is still trained is best computed by torch, which sees its weights change.

    Args:
        network: one-channel network on its device, in evaluation mode.
        settings: the section `infer`.

    Raises:
        UserError: the requested backend is not installed, or does not support this device.
    """
    backend = chosen_backend(network, settings.backend)
    if backend == REFERENCE and not settings.compile:
        return _prepared(network, backend, settings)
    # Torch counts the changes of a parameter.
    weights = tuple((id(weight), weight._version) for weight in network.parameters())
    key = (backend, settings.precision, settings.threads, settings.compile, weights)
    if network not in _ready or _ready[network][0] != key:
        _ready[network] = key, _prepared(network, backend, settings)
        logger.info("computed by %s in %s", backend, settings.precision)
    return _ready[network][1]


def _prepared(network: Any, backend: str, settings: Infer) -> Engine:
    compute = plugins.load(BACKENDS, backend).prepare(network, settings)
    rows, columns = network.factors
    across_slices = isinstance(network, Generator) and network.shape.along == "columns"
    return Engine(compute, network.factors, device_of(network), rows == columns and not across_slices)


def log_precision_change(network: Any, settings: Infer, image: NDArray[np.float32], sigma: float, what: str) -> None:
    """Log how a lower precision changes a part of an image.

    Args:
        network: as in `engine_for`.
        settings: the section `infer`.
        image: the part, normalised intensities, shape (depth, rows, columns); see `Engine.restore`.
        sigma: as in `Engine.restore`.
        what: description of the part.
    """
    reference = {"backend": REFERENCE, "precision": FULL_PRECISION, "compile": False}
    exact = engine_for(network, settings.model_copy(update=reference)).restore(image, sigma)
    changed = engine_for(network, settings).restore(image, sigma) - exact
    logger.info(
        "%s changes %s by at most %.2g of the range, %.2g on average (root mean square)",
        *(settings.precision, what, np.abs(changed).max(), np.sqrt(np.mean(changed**2))),
    )


def chosen_backend(network: nn.Module, requested: str) -> str:
    """Return the name of the backend for a network; `auto` selects the fastest one that is installed.

    Raises:
        UserError: the requested one is not installed, or does not support this device.
    """
    if requested == "auto":
        return next(name for name in FASTEST_FIRST if plugins.load(BACKENDS, name).usable(network))
    if not plugins.load(BACKENDS, requested).usable(network):
        where = device_of(network).type
        raise UserError(
            f"infer.backend: {requested} is not installed, or does not support this device ({where}). "
            f"Install it (pip install {requested}), set resources.device: cpu, or choose auto."
        )
    return requested
