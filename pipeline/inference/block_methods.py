"""How the blocks of an image are restored that does not fit into memory; see `pipeline.inference.large_images`.

A block has the rows and columns of a tile, and the sections of a unit of the image: one for networks that enlarge
planes, all of a stack for baselines, and for networks that restore thick sections.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.code_version import code_version
from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.formats.tiled import Factors, TiledImage, Unit
from pipeline.image.foreground import foreground_mask
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.image.intensity_limits import limited
from pipeline.image.interleaving import interleaving_difference, without_interleaving
from pipeline.image.lengths import voxels_in_words
from pipeline.image.stack import SLICE_AXIS, lay_sections, upright_sections
from pipeline.inference.backends._compute import FULL_PRECISION
from pipeline.inference.channel_statistics import (
    SAMPLE_SIDE,
    ChannelStatistics,
    normalised,
    physical_values,
    read_finite,
    read_unit,
)
from pipeline.inference.error_map import UncertaintyKind
from pipeline.inference.forward_pass import engine_for, log_precision_change
from pipeline.inference.memory import device_of
from pipeline.inference.neighbours import without_neighbours
from pipeline.inference.restoration import passes_of, restore_at
from pipeline.inference.result_check import (
    Agreement,
    agreement_of,
    agreement_with_measurement,
    cell_means,
    without_outliers,
)
from pipeline.inference.thick_slices import check_thick, log_stripes, slice_ratio, with_slice_model
from pipeline.inference.tiles import Tiling
from pipeline.inference.tta import MAX_AUGMENTATIONS, restore_augmented, restore_averaged
from pipeline.models.generator import Generator
from pipeline.models.record import TrainingDomain
from pipeline.physics.grid import covered_shape, crop_to
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.resolved_profile import slice_axis_of, stated_profile
from pipeline.physics.slice_sampling import slice_sampling

MAX_BLOCK_VOXELS = 2**24
"""Voxels of a restored block of a stack, which takes up to 100 bytes each."""
MIN_OVERLAPS = 4
"""Minimum side of such a block, in overlaps."""


class RestoredBlock(NamedTuple):
    """A restored block.

    Attributes:
        values: normalised intensities, or an uncertainty map, float32, shape (sections, rows, columns).
        agreement: with the image.
        limited: number of voxels of the image whose intensity was limited.
    """

    values: NDArray[np.float32]
    agreement: Agreement = Agreement()
    limited: int = 0


RestoreBlock = Callable[[NDArray], RestoredBlock]
"""Restores stored values, shape (sections, rows, columns)."""


class BlockMethod(Protocol):
    """A method that restores an image block by block."""

    @property
    def factors(self) -> Factors:
        """Enlargement."""
        ...

    @property
    def across_sections(self) -> bool:
        """Whether a unit is a stack; otherwise it is a plane."""
        ...

    @property
    def uncertainty(self) -> UncertaintyKind | None:
        """Kind of the uncertainty map that is computed; None for a restored image."""
        ...

    @property
    def domain(self) -> TrainingDomain | None:
        """Range of the training data; None where it is unknown, and for baselines."""
        ...

    @property
    def key(self) -> tuple[object, ...]:
        """Everything that the result depends on besides image and settings."""
        ...

    @property
    def processing(self) -> Mapping[str, Any]:
        """Description for the metadata of the result."""
        ...

    def tiling(self, image: TiledImage, settings: Infer) -> Tiling:
        """Return the layout of the tiles."""
        ...

    def prepared(self, image: TiledImage, unit: Unit, channel: ChannelStatistics, settings: Infer) -> RestoreBlock:
        """Return the function that restores the blocks of a unit.

        Raises:
            UserError: a pixel is NaN or infinite, or the file is damaged.
        """
        ...


@dataclass(frozen=True)
class PlaneNetwork:
    """A network that enlarges planes.

    Attributes:
        network: one-channel network on its device, in evaluation mode.
        sha256: of its file.
        uncertainty: see `BlockMethod`.

    Raises:
        UserError: the network enlarges columns alone.
    """

    network: Generator
    sha256: str
    uncertainty: UncertaintyKind | None = None
    across_sections: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Check the factors."""
        rows, columns = self.network.factors
        if rows != columns:
            raise UserError("--model: this network enlarges columns alone; a plane needs one that enlarges both axes.")

    @property
    def factors(self) -> Factors:
        """Enlargement."""
        return 1, *self.network.factors

    @property
    def domain(self) -> TrainingDomain | None:
        """See `BlockMethod`."""
        return self.network.record.domain

    @property
    def key(self) -> tuple[object, ...]:
        """See `BlockMethod`."""
        return self.sha256, device_of(self.network).type, code_version(__name__)

    @property
    def processing(self) -> Mapping[str, Any]:
        """See `BlockMethod`."""
        return {"factor": self.network.factors[1], "generator_sha256": self.sha256}

    def tiling(self, image: TiledImage, settings: Infer) -> Tiling:
        """See `BlockMethod`."""
        return Tiling(image.plane_shape, self.network.factors, settings.tile_lr, settings.overlap_lr)

    def prepared(self, image: TiledImage, unit: Unit, channel: ChannelStatistics, settings: Infer) -> RestoreBlock:
        """See `BlockMethod`."""
        network, factors = self.network, self.network.factors
        intensity = replace(image.intensity, offset=channel.offset, scale=channel.scale)
        engine = engine_for(network, settings)
        augmentations = passes_of(network, settings)
        if settings.precision != FULL_PRECISION:
            self._log_precision_change(image, unit, intensity, channel, settings)

        def restore(block: NDArray) -> RestoredBlock:
            [part] = block
            values = normalised(part, intensity)
            within = limited(values)
            given = without_neighbours(within.values, network.shape.neighbours)
            if self.uncertainty is not None:
                results = restore_augmented(engine, given, channel.noise_sigma, MAX_AUGMENTATIONS)
                mean = within.added_to(np.mean(results[:augmentations], axis=0), factors)
                return RestoredBlock(self.uncertainty.of(mean, values, np.std(results, axis=0), factors)[None])
            restored = restore_averaged(engine, given, channel.noise_sigma, augmentations)
            restored = within.added_to(restored, factors)
            again = intensity.to_physical(cell_means(restored, factors))
            physical = without_outliers(physical_values(part, intensity), values)
            agreement = agreement_of(again, physical, channel.scale, channel.noise_sigma)
            return RestoredBlock(restored[None], agreement, within.voxels)

        return restore

    def _log_precision_change(
        self, image: TiledImage, unit: Unit, intensity: IntensityMap, channel: ChannelStatistics, settings: Infer
    ) -> None:
        tiling = self.tiling(image, settings)
        middle = [tiles[len(tiles) // 2] for tiles in (tiling.along(0), tiling.along(1))]
        [plane] = image.planes_in(unit)
        values = normalised(read_finite(image, plane, *middle), intensity)
        given = without_neighbours(limited(values).values, self.network.shape.neighbours)
        log_precision_change(self.network, settings, given, channel.noise_sigma, "the middle tile")


@dataclass(frozen=True)
class StackMethod:
    """A network or baseline that is given all sections of a stack.

    Attributes:
        outline: of a stack of the image, see `TiledImage.outline`.
        as_measured: returns a normalised block and its noise level as a low-resolution image.
        restore: restores such a block, or computes its uncertainty map, normalised, of the padded shape.
        factors: see `BlockMethod`.
        key: see `BlockMethod`.
        processing: see `BlockMethod`.
        domain: see `BlockMethod`.
        uncertainty: see `BlockMethod`.
    """

    outline: Image
    as_measured: Callable[[Image, float], LowResolutionImage]
    restore: Callable[[LowResolutionImage], NDArray[np.float32]]
    factors: Factors
    key: tuple[object, ...]
    processing: Mapping[str, Any]
    domain: TrainingDomain | None = None
    uncertainty: UncertaintyKind | None = None
    across_sections: bool = field(default=True, init=False)

    def tiling(self, image: TiledImage, settings: Infer) -> Tiling:
        """See `BlockMethod`; the blocks are smaller where there are more sections, so that all need the same memory."""
        sections, rows, columns = self.factors
        pixels = MAX_BLOCK_VOXELS / (image.sections * sections * rows * columns)
        side = max(math.isqrt(int(pixels)), MIN_OVERLAPS * settings.overlap_lr)
        shape, enlargement = image.plane_shape, (int(rows), int(columns))
        return Tiling(shape, enlargement, min(side, settings.tile_lr), settings.overlap_lr)

    def prepared(self, image: TiledImage, unit: Unit, channel: ChannelStatistics, settings: Infer) -> RestoreBlock:
        """See `BlockMethod`."""
        intensity = replace(image.intensity, offset=channel.offset, scale=channel.scale)
        difference = self._stripes(image, unit, intensity)

        def measured(sections: NDArray) -> NDArray[np.float32]:
            physical = lay_sections(physical_values(sections, intensity))
            matched = without_interleaving(physical, difference, SLICE_AXIS) if difference else physical
            return intensity.normalise(matched)

        # Ringing around a dark background would be clipped by files of unsigned integers, which would seem a loss.
        floor = measured(_darkest(image, unit, intensity)).min()

        def restore(block: NDArray) -> RestoredBlock:
            low = self.as_measured(self.outline.with_data(measured(block)), channel.noise_sigma)
            model = low.forward_model
            restored = self.restore(low)
            if self.uncertainty is not None:
                return RestoredBlock(upright_sections(crop_to(restored, model.hr_shape)))
            restored = np.maximum(restored, floor)
            agreement = agreement_with_measurement(restored, low.data, model)
            shown = upright_sections(crop_to(restored, model.hr_shape))
            return RestoredBlock(shown, agreement, limited(low.data).voxels)

        return restore

    def _stripes(self, image: TiledImage, unit: Unit, intensity: IntensityMap) -> float:
        """Return the difference of even and odd sections in the middle of the image, see `interleaving_difference`."""
        if self.factors[0] == 1:
            return 0.0
        starts = [max(0, (size - SAMPLE_SIDE) // 2) for size in image.plane_shape]
        places = [
            slice(start, min(start + SAMPLE_SIDE, size)) for start, size in zip(starts, image.plane_shape, strict=True)
        ]
        physical = lay_sections(physical_values(read_unit(image, unit, *places), intensity)).astype(np.float32)
        if physical.min() == physical.max():
            return 0.0
        mask = foreground_mask(intensity.normalise(physical))
        difference = interleaving_difference(physical, mask, SLICE_AXIS)
        if difference:
            log_stripes(image.path.name, difference)
        return difference


def thick_section_method(
    image: TiledImage,
    thickness_mm: float | None,
    restore: Callable[[LowResolutionImage], NDArray[np.float32]],
    key: tuple[object, ...],
    processing: Mapping[str, Any],
    domain: TrainingDomain | None = None,
    uncertainty: UncertaintyKind | None = None,
) -> StackMethod:
    """Return a method that restores stacks of thick sections to isotropic voxels.

    The thickness of the sections is as given, or assumed to equal their spacing: it cannot be estimated from
    micrographs (`pipeline.physics.slice_thickness` is made for heads).

    Args:
        image: the image.
        thickness_mm: thickness of the sections as given by the user, in mm.
        restore: see `StackMethod`.
        key: as `BlockMethod.key`; the profile of the sections is added.
        processing: as `BlockMethod.processing`; the profile of the sections is added.
        domain: see `BlockMethod`.
        uncertainty: see `BlockMethod`.

    Raises:
        UserError: the voxel size is unknown, or the sections are not thick.
    """
    outline, name = image.outline(), image.path.name
    profile = stated_profile(outline, thickness_mm, name)
    if slice_axis_of(outline) != SLICE_AXIS:
        raise UserError(
            f"{image.path}: its voxels of {voxels_in_words(outline.spacing, outline.unit)} (x, y, z) are not longest "
            "along z, across its sections, where an image of this size is restored; save its axes in another order."
        )
    try:
        check_thick(outline)
    except UserError as error:
        raise UserError(f"{image.path}: {error}") from error
    described = {"thickness_mm": profile.thickness_mm, "profile": profile.shape, "source": profile.source}
    factors = (slice_ratio(outline), 1, 1)
    return StackMethod(
        outline,
        lambda block, sigma: with_slice_model(block, profile, sigma),
        restore,
        factors,
        (*key, profile, code_version(__name__)),
        {**processing, "factors": list(factors), "slice_profile": described},
        domain,
        uncertainty,
    )


def stack_network(
    network: Generator,
    sha256: str,
    image: TiledImage,
    settings: Infer,
    thickness_mm: float | None,
    uncertainty: UncertaintyKind | None = None,
) -> StackMethod:
    """Return the method that restores stacks of thick sections by a network of any ratio.

    Args:
        network: one-channel network on its device, in evaluation mode.
        sha256: of its file.
        image: the image.
        settings: the section `infer`.
        thickness_mm: as in `thick_section_method`.
        uncertainty: see `BlockMethod`.

    Raises:
        UserError: as `thick_section_method`.
    """
    bound = network

    def restore(low: LowResolutionImage) -> NDArray[np.float32]:
        nonlocal bound
        model = low.forward_model
        bound = bound.for_slices(slice_sampling(model))  # once, so that its engine is prepared once
        found = restore_at(model.noise_sigma, [bound], low, settings, with_tta_std=uncertainty is not None)
        if uncertainty is None or found.tta_std is None:
            return found.restored
        return uncertainty.of(found.restored, low.data, found.tta_std, model.factors)

    device = device_of(network).type
    made_by = {"generator_sha256": sha256}
    domain = network.record.domain
    return thick_section_method(image, thickness_mm, restore, (sha256, device), made_by, domain, uncertainty)


def enlarged_shape(image: TiledImage, factors: Factors) -> tuple[int, ...]:
    """Return the shape of a result."""
    along = dict(zip("zyx", factors, strict=True))
    return covered_shape(image.shape, [along.get(axis, 1) for axis in f"{image.leading}yx"])


def _darkest(image: TiledImage, unit: Unit, intensity: IntensityMap) -> NDArray:
    """Return the stored value of the darkest pixel of each section, shape (sections, 1, 1)."""
    darkest = np.min if intensity.slope > 0 else np.max
    rows, columns = image.plane_shape
    strips = [slice(top, min(top + SAMPLE_SIDE, rows)) for top in range(0, rows, SAMPLE_SIDE)]
    planes = tqdm(image.planes_in(unit), unit="section", disable=None, leave=None)
    found = [
        darkest([darkest(read_finite(image, one, strip, slice(0, columns))) for strip in strips]) for one in planes
    ]
    return np.reshape(found, (-1, 1, 1))
