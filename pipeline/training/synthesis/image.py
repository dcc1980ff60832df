"""Images that are drawn from a label map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.image.intensity import LOW_PERCENTILE, PERCENTILE, IntensityRange
from pipeline.image.intensity_limits import limited
from pipeline.physics.grid import Cut
from pipeline.physics.shading import draw_field
from pipeline.training.slabs import Window
from pipeline.training.synthesis.contrast import Contrast, draw_contrast
from pipeline.training.synthesis.label_map import LabelMap
from pipeline.training.synthesis.lesions import Lesions, draw_lesions
from pipeline.training.synthesis.resolution import Resolution, draw_psf, draw_resolution
from pipeline.training.synthesis.structures import is_brain
from pipeline.training.synthesis.texture import Texture, draw_texture

MAX_SHADING = 0.35
STRIPPED_PROBABILITY = 0.3
FLUID_KEPT_PROBABILITY = 0.7
"""Probability that a skull-stripped image keeps the fluid around the brain."""
STRIPPING_LEVELS = (0.3, 0.7)
MIN_RANGE = 1e-3
"""Minimum range of intensities, for a label map with nothing that is visible."""
LESION_DEPTH = 4
"""Number of slices before and after a patch in which lesions may begin."""


@dataclass(frozen=True)
class Stripping:
    """Skull-stripping: voxels with less brain than `level` are set to 0.

    Attributes:
        brain: which labels are brain, lesions last, shape (labels,).
        level: minimum fraction of brain.
    """

    brain: NDArray[np.bool_]
    level: float


@dataclass(frozen=True)
class SyntheticImage:
    """An image that is drawn from a label map slice by slice.

    Attributes:
        labels: of the whole map, shape (slices, rows, columns); a view of the memory-mapped volume.
        contrast: intensities of the labels.
        resolution: voxel size and point spread function.
        texture: random fields, one per slice.
        lesions: in the white matter.
        field: multiplicative bias field of a padded slice, shape (rows, columns).
        stripping: skull-stripping; None for none.
        range: intensities that are normalised to 0 and 1.
    """

    labels: NDArray[np.int16]
    contrast: Contrast
    resolution: Resolution
    texture: Texture
    lesions: Lesions
    field: NDArray[np.float32]
    stripping: Stripping | None
    range: IntensityRange

    def read(self, indices: Sequence[int], window: Window) -> NDArray[np.float32]:
        """Return a region of slices; see `pipeline.training.slabs.ReadSlices`."""
        drawn = self.intensities(indices, window)
        return limited((drawn - np.float32(self.range.offset)) / np.float32(self.range.scale)).values

    def intensities(self, indices: Sequence[int], window: Window) -> NDArray[np.float32]:
        """Return a region of slices like `read`, with intensities that are not normalised, and not negative."""
        rows, columns = (slice(*part.indices(size)[:2]) for part, size in zip(window, self.field.shape, strict=True))
        last = len(self.labels) - 1
        return np.stack([self._slice(min(int(index), last), (rows, columns)) for index in indices])

    def _slice(self, index: int, window: Window) -> NDArray[np.float32]:
        row_range, rows = self.resolution.sampling(0, window[0])
        column_range, columns = self.resolution.sampling(1, window[1])
        weights = self.resolution.slice_weights
        radius = len(weights) // 2
        box = (slice(index - radius, index + radius + 1), row_range, column_range)
        labels = _padded_part(self.labels, box)
        self.lesions.mark(labels, box, self.contrast.lesion)
        means = np.tensordot(weights, self.contrast.means[labels], axes=1)
        spread = rows @ self.contrast.spreads[labels[radius]] @ columns.T
        texture = self.texture.of_slice(index, spread.shape)
        texture *= spread
        texture += rows @ means @ columns.T
        texture *= self.field[window]
        image = np.maximum(texture, 0, out=texture) ** self.contrast.gamma
        if self.stripping is None:
            return image
        brain = rows @ self.stripping.brain[labels[radius]].astype(np.float32) @ columns.T
        return np.where(brain > self.stripping.level, image, 0)


def _padded_part(labels: NDArray[np.int16], box: Sequence[slice]) -> NDArray[np.int16]:
    """Return a copy of a part of a label map: slices beyond its ends are repeated, other voxels are background."""
    slices, *window = box
    inside = [slice(max(part.start, 0), max(part.stop, 0)) for part in window]
    layers = np.clip(np.arange(slices.start, slices.stop), 0, len(labels) - 1)
    part = np.stack([labels[(layer, *inside)] for layer in layers])
    before = [min(max(-part.start, 0), part.stop - part.start) for part in window]
    result = np.zeros((len(layers), *(part.stop - part.start for part in window)), dtype=np.int16)
    result[:, before[0] : before[0] + part.shape[1], before[1] : before[1] + part.shape[2]] = part
    return result


def draw_patch_image(
    label_map: LabelMap,
    cut: Cut,
    index: int,
    place: Window,
    shape: tuple[int, int],
    generator: np.random.Generator,
) -> SyntheticImage:
    """Draw an image around a patch.

    Args:
        label_map: from which the image is drawn.
        cut: orientation of the slices.
        index: slice of the patch.
        place: rows and columns of the patch, in high-resolution voxels.
        shape: rows and columns of a padded slice.
        generator: source of the random numbers.
    """
    centre = (sum(place[0].indices(shape[0])[:2]) / 2, sum(place[1].indices(shape[1])[:2]) / 2)
    spacing = label_map.spacing_mm
    plane = None if spacing is None else (spacing[cut.rows], spacing[cut.columns])
    resolution = draw_resolution(plane, centre, generator)
    box = (slice(max(0, index - LESION_DEPTH), index + LESION_DEPTH + 1), *place)
    return _draw(label_map, cut, box, shape, resolution, _draw_stripping(label_map.label_count, generator), generator)


def draw_volume_image(label_map: LabelMap, cut: Cut, generator: np.random.Generator) -> SyntheticImage:
    """Draw an image of the whole head, with the voxels of the label map.

    Args:
        label_map: from which the image is drawn.
        cut: orientation of the slices.
        generator: source of the random numbers.
    """
    shape = label_map.labels.shape
    resolution = Resolution(1.0, draw_psf(1.0, generator), (0.0, 0.0))
    plane = (shape[cut.rows], shape[cut.columns])
    return _draw(label_map, cut, (slice(None), slice(None), slice(None)), plane, resolution, None, generator)


def _draw(
    label_map: LabelMap,
    cut: Cut,
    box: tuple[slice, slice, slice],
    shape: tuple[int, int],
    resolution: Resolution,
    stripping: Stripping | None,
    generator: np.random.Generator,
) -> SyntheticImage:
    labels = np.moveaxis(label_map.labels, cut, (0, 1, 2))
    contrast = draw_contrast(label_map.label_count, generator)
    texture = draw_texture(generator)
    lesions = draw_lesions(labels, box, generator)
    field = draw_field(shape, MAX_SHADING, generator)
    range_ = _range(label_map, contrast, field, stripping, generator)
    return SyntheticImage(labels, contrast, resolution, texture, lesions, field, stripping, range_)


def _draw_stripping(label_count: int, generator: np.random.Generator) -> Stripping | None:
    if generator.random() >= STRIPPED_PROBABILITY:
        return None
    with_fluid = bool(generator.random() < FLUID_KEPT_PROBABILITY)
    return Stripping(np.append(is_brain(label_count, with_fluid), True), float(generator.uniform(*STRIPPING_LEVELS)))


def _range(
    label_map: LabelMap,
    contrast: Contrast,
    field: NDArray[np.float32],
    stripping: Stripping | None,
    generator: np.random.Generator,
) -> IntensityRange:
    """Estimate the range of the whole image, as `pipeline.image.intensity` defines it, from a sample of its voxels."""
    sample = label_map.sample
    places = generator.integers(field.size, size=sample.size)
    values = contrast.means[sample] + contrast.spreads[sample] * generator.standard_normal(sample.size)
    values = np.maximum(values * field.ravel()[places], 0) ** contrast.gamma
    visible = sample != 0
    if stripping is not None:
        visible = stripping.brain[sample]
        values = np.where(visible, values, 0)
    low = float(np.percentile(values, LOW_PERCENTILE))
    high = float(np.percentile(values[visible], PERCENTILE)) if visible.any() else 1.0
    return IntensityRange(low, max(high - low, MIN_RANGE))
