"""Images that are drawn from a label map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.image.intensity import LOW_PERCENTILE, PERCENTILE, IntensityRange
from pipeline.image.intensity_limits import limited
from pipeline.physics.grid import Cut
from pipeline.physics.shading import draw_field
from pipeline.training.slabs import Window
from pipeline.training.synthesis.contrast import Contrast, draw_contrast
from pipeline.training.synthesis.label_map import LabelMap
from pipeline.training.synthesis.lesions import Box, Lesions, draw_lesions
from pipeline.training.synthesis.resolution import Resolution, draw_psf, draw_resolution
from pipeline.training.synthesis.rotation import rotated_part
from pipeline.training.synthesis.stripping import Stripping, draw_stripping
from pipeline.training.synthesis.texture import Texture, draw_texture

MAX_SHADING = 0.35
MIN_RANGE = 1e-3
"""Minimum range of intensities, for a label map with nothing that is visible."""
LESION_DEPTH = 4
"""Number of slices before and after a patch in which lesions may begin."""


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
        labels = rotated_part(self.labels, box, self.resolution)
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

    def foreground(self, index: int) -> NDArray[np.bool_]:
        """Return the foreground of a padded slice, shape (rows, columns): head, or brain if it is stripped."""
        rows, columns = (
            np.rint(self.resolution.places(axis, size)).astype(int) for axis, size in enumerate(self.field.shape)
        )
        row_range, column_range = (slice(int(one[0]), int(one[-1]) + 1) for one in (rows, columns))
        layer = min(index, len(self.labels) - 1)
        box = (slice(layer, layer + 1), row_range, column_range)
        labels = rotated_part(self.labels, box, self.resolution)[0]
        labels = labels[np.ix_(rows - row_range.start, columns - column_range.start)]
        return labels != 0 if self.stripping is None else self.stripping.brain[labels]


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
    labels = np.moveaxis(label_map.labels, cut, (0, 1, 2))[min(index, label_map.labels.shape[cut.normal] - 1)][place]
    stripping = draw_stripping(labels, label_map.label_count, generator)
    return _draw(label_map, cut, box, shape, resolution, stripping, generator)


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
    box: Box,
    shape: tuple[int, int],
    resolution: Resolution,
    stripping: Stripping | None,
    generator: np.random.Generator,
) -> SyntheticImage:
    labels = np.moveaxis(label_map.labels, cut, (0, 1, 2))
    contrast = draw_contrast(label_map.label_count, generator)
    texture = draw_texture(generator)
    lesions = _turned(draw_lesions(labels, box, generator), resolution)
    field = draw_field(shape, MAX_SHADING, generator)
    range_ = _range(label_map, contrast, field, stripping, generator)
    return SyntheticImage(labels, contrast, resolution, texture, lesions, field, stripping, range_)


def _turned(lesions: Lesions, resolution: Resolution) -> Lesions:
    """Return lesions with their centres in the rotated label map."""
    slices, rows, columns = lesions.centres.T
    return replace(lesions, centres=np.stack([slices, *resolution.turned(rows, columns, back=True)], axis=1))


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
