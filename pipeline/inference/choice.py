"""Choice of a network that ships by the image, and its measured gain for such images."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.shipped import Modality, ShippedNetwork, listed_networks, shipped_networks
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.lengths import lengths_in_words, voxels_in_words
from pipeline.image.plane import THICK, is_section_stack, thick_axis
from pipeline.models.generator import is_fast
from pipeline.models.zoo import checked_weights
from pipeline.physics.parameters import is_out_of_range
from pipeline.tables.network_gains import ANY_CONTRAST, NetworkGain

logger = logging.getLogger(__name__)

CHOOSE_FILE = "give the generator.safetensors of a trained method with --model FILE"


@dataclass(frozen=True)
class Weights:
    """Weights of a network.

    Attributes:
        path: the file; that of a network that ships has been checked by its SHA-256.
        name: of a network that ships; otherwise the path.
        shipped: its entry of the table of networks that ship; None for other files.
    """

    path: Path
    name: str
    shipped: ShippedNetwork | None = None


def weights_named(model: str) -> Weights | None:
    """Return the weights of a file, or of a network that ships; None if there is neither.

    Raises:
        UserError: the weights of the network are damaged.
    """
    if Path(model).is_file():
        return Weights(Path(model), model)
    shipped = shipped_networks().get(model)
    return Weights(checked_weights(model), model, shipped) if shipped else None


def choose_weights(image: Image, name: str) -> Weights:
    """Choose the network for an image among those that ship, and log why.

    For scans with slices at least 1.5 times thicker than the voxels within them, this is a through-plane network,
    otherwise an in-plane network. The same applies to stacks of electron micrographs, which are recognised by their
    voxel size; other micrographs get an in-plane network. Of several, the one with the smallest factor is chosen, and
    of these the first in the table.

    Args:
        image: canonical image, or its outline without pixels.
        name: name of the image, for messages.

    Raises:
        UserError: no network for such images ships; the message names the alternatives.
    """
    if is_section_stack(image):
        kind = f"a stack of electron micrographs, by its voxel size of {lengths_in_words(image.spacing_mm or ())}"
        found = _smallest("micrograph", "through_plane")
        advice = "Restore it between its sections without a network: --model total_variation."
    elif not image.is_anatomical:
        kind = "a micrograph or picture, without anatomical axes"
        found = _smallest("micrograph", "in_plane")
        advice = "For a slice of an MRI volume, name an MRI network with --model; o" if shipped_networks() else "O"
        advice += "r enlarge it without a network: --model bspline3 --factor 2."
    else:
        sizes = voxels_in_words(image.spacing, image.unit)
        axis = thick_axis(image.spacing)
        if axis is not None and image.data.shape[axis] > 1:
            kind = f"a scan with thick slices (voxels of {sizes}, one at least {THICK:g} times longer)"
            found = _smallest("mri", "through_plane")
            advice = "Restore the slices without a network: --model total_variation."
        else:
            kind = f"a scan without thick slices (voxels of {sizes})"
            found = _smallest("mri", "in_plane")
            advice = "Or enlarge it without a network: --model total_variation --factor 2."
    if found is None:
        names = listed_networks()
        raise UserError(
            f"{name}: is {kind}; no network for such images ships with BrainSR (networks that ship: {names}). {advice} "
            f"Or {CHOOSE_FILE}."
        )
    chosen, network = found
    logger.info(
        "%s: network %s (%s; trained on %s), since this is %s",
        *(name, chosen, network.enlargement(), network.network.trained_on, kind),
    )
    if faster := _faster(network):
        logger.info("%s: for much shorter computation: --model %s", name, " or ".join(faster))
    return Weights(checked_weights(chosen), chosen, network)


def _smallest(modality: Modality, direction: str) -> tuple[str, ShippedNetwork] | None:
    """Return the first of the networks with the smallest factor."""
    fitting = [
        (name, one)
        for name, one in shipped_networks().items()
        if (one.modality, one.direction) == (modality, direction)
    ]
    return min(fitting, key=lambda pair: pair[1].factor or 0, default=None)


def _faster(network: ShippedNetwork) -> list[str]:
    """Return the names of fast networks for the same images and enlargement, if the network itself is not fast."""
    if is_fast(network.network.architecture, network.network.blocks):
        return []
    return [
        name
        for name, one in shipped_networks().items()
        if (one.modality, one.direction, one.factor) == (network.modality, network.direction, network.factor)
        and is_fast(one.network.architecture, one.network.blocks)
    ]


def log_measured_gain(
    weights: Weights, name: str, contrast: str, factor: float, sigma: float, voxel_mm: Sequence[float] | None
) -> None:
    """Log the measured gain of a network that ships for such images, as a warning where none was shown.

    Args:
        weights: the network; nothing is logged for other files.
        name: name of the image.
        contrast: its contrast as a BIDS suffix, such as T1w, or empty.
        factor: enlargement.
        sigma: noise level, as a fraction of the intensity range.
        voxel_mm: voxel sizes along the enlarged axes, in mm; None where they are unknown.
    """
    if weights.shipped is None:
        return
    rows = rows_like(weights.shipped.gains, contrast, factor, sigma, voxel_mm)
    if not rows:
        logger.warning(
            "%s: the gain of %s over baselines was not measured for images like this one (%s)",
            *(name, weights.name, _kind(factor, sigma, voxel_mm)),
        )
        return
    measured = "; ".join(map(described, rows))
    # Rows with an interval, so of several subjects, outweigh those of single subjects.
    decisive = [row for row in rows if row.has_interval] or rows
    lost = [row for row in decisive if not row.is_shown]
    if lost:
        option = "" if weights.shipped.direction == "through_plane" else f" --factor {factor:g}"
        logger.warning(
            "%s: over subjects outside its training data, %s showed no gain for images like this one (%s): %s. "
            "Consider the best baseline: --model %s%s",
            *(name, weights.name, _kind(factor, sigma, voxel_mm), measured, lost[0].baseline, option),
        )
        return
    logger.info("%s: measured gain of %s for images like this one: %s", name, weights.name, measured)


def rows_like(
    gains: Iterable[NetworkGain], contrast: str, factor: float, sigma: float, voxel_mm: Sequence[float] | None
) -> list[NetworkGain]:
    """Return the measured gains for images of a kind: of its contrast, if that was measured, or else of all contrasts.

    Arguments are those of `log_measured_gain`; ranges of voxel sizes and factors have the tolerance of
    `is_out_of_range`, noise levels have none. An image of unknown voxel size is like none that was measured.
    """
    if not voxel_mm:
        return []
    rows = [
        row
        for row in gains
        if row.sigma_min <= sigma <= row.sigma_max
        and not is_out_of_range([factor], (row.factor_min, row.factor_max))
        and not is_out_of_range(voxel_mm, (row.voxel_min, row.voxel_max))
    ]
    own = [row for row in rows if row.contrast in (contrast, ANY_CONTRAST)]
    return own or rows


def described(row: NetworkGain) -> str:
    """Return a measured gain in words."""
    return f"{row.contrast}: {row.described}"


def _kind(factor: float, sigma: float, voxel_mm: Sequence[float] | None) -> str:
    sizes = lengths_in_words(voxel_mm) if voxel_mm else "unknown size"
    return f"voxels of {sizes} along the enlarged axes, noise of {100 * sigma:.1f} %, factor {factor:.3g}"
