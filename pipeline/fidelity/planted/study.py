"""The experiment: plant, degrade, restore with every method, and let the observer look.

One restoration is without the structures (what carries them is there), one a contrast is with them, all of the same
slices with the same noise. At which response the observer says "there" is set for every method, kind and size on places
of the restoration without, which are not those of the structures, so that it says so wrongly at a rate that is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline import plugins
from pipeline.cli import show_progress
from pipeline.config.stages import TRUTH, Planted
from pipeline.degrade import degrade
from pipeline.fidelity.planted import observer
from pipeline.fidelity.planted.placing import DIRECTIONS, KINDS, Condition, Sites, plain_sites, plant_sites
from pipeline.fidelity.planted.structure import Structure
from pipeline.image.image import Image
from pipeline.physics.forward import volume_seed
from pipeline.physics.grid import crop_to, is_isotropic
from pipeline.validation import Excerpt, excerpt

CARRIER_CONTRAST = 0.4
"""Of what carries a structure, as a fraction of the normalised range."""
PLAIN_SITES = 2000
"""Places without a structure on which the threshold is set."""

Restore = Callable[[Image], NDArray[np.floating]]
"""Maps a low-resolution image to normalised intensities, larger by its factors."""


class Detection(NamedTuple):
    """One row of the table of planted structures.

    Attributes:
        volume: where they were planted.
        subject: whose head that is.
        split: of the volume.
        method: what restored it, or "truth".
        kind: of the structures, a module of pipeline.fidelity.planted.kinds.
        size_voxels: their size, in high-resolution voxels.
        contrast: added to the tissue where they are, as a fraction of the normalised range; negative makes it darker.
        planted: how many there are.
        detected: how many of them the observer found.
        false_alarms: at how many of their places it found one though none was there.
        d_prime: distance of its responses with and without, see `observer.detectability`.
        auc: its share of right answers when it is shown one of each, see `observer.area_under_curve`.
        size: `size_voxels` in `unit`.
        unit: mm, um or pixel.
    """

    volume: str
    subject: str
    split: str
    method: str
    kind: str
    size_voxels: float
    contrast: float
    planted: int
    detected: int
    false_alarms: int
    d_prime: float
    auc: float
    size: float
    unit: str


class Looks(NamedTuple):
    """Where the observer looks for a condition: at planted and at plain sites, with the weights for each."""

    planted: Sites
    plain: Sites
    weights: list[NDArray[np.float64]]

    def at(self, images: NDArray[np.floating], sites: Sites) -> NDArray[np.float64]:
        """Returns the responses at sites."""
        return observer.responses(images, sites.places, [self.weights[one] for one in sites.directions])


class Plan(NamedTuple):
    """What is planted in the slices of an excerpt; arrays have the shape (slices, rows, columns).

    Attributes:
        signals: share of each voxel that structures cover.
        carriers: the same of what carries them.
        looks: where the observer looks, by condition.
    """

    signals: NDArray[np.float64]
    carriers: NDArray[np.float64]
    looks: dict[Condition, Looks]


def plan_structures(
    foreground: NDArray[np.bool_], margin: int, settings: Planted, seed: int, neighbours: bool = False
) -> Plan:
    """Decides what is planted where.

    Args:
        foreground: of the slices, shape (slices, rows, columns).
        margin: of background around each structure, in voxels.
        settings: the section `planted`.
        seed: of the places.
        neighbours: slices are neighbours that are coarsened together. There, structures are as thick as their size, and
            lie in slices that are apart.
    """
    generator = np.random.default_rng(seed)
    conditions = [Condition(*one) for one in product(settings.kinds, settings.sizes_voxels)]
    step = math.ceil(max(settings.sizes_voxels, default=1)) + 2 * margin if neighbours else 1
    apart = np.arange(len(foreground)) % step == step // 2
    sites = plant_sites(foreground & apart[:, None, None], conditions, settings.count, margin, generator)
    shapes = {one: _structures(one, margin) for one in conditions}
    signals, carriers = np.zeros(foreground.shape), np.zeros(foreground.shape)
    for condition, found in sites.items():
        radius = condition.radius(margin)
        depth = max(1, round(condition.size_voxels)) if neighbours else 1
        for (index, row, column), direction in zip(found.places, found.directions, strict=True):
            thick = slice(max(0, index - depth // 2), index - depth // 2 + depth)
            window = (thick, slice(row - radius, row + radius + 1), slice(column - radius, column + radius + 1))
            signals[window] += shapes[condition][direction].signal
            carriers[window] += shapes[condition][direction].carrier
    looks = {
        one: Looks(
            sites[one],
            plain_sites(foreground, carriers > 0, one.radius(margin), PLAIN_SITES, generator),
            [observer.weights(shape) for shape in shapes[one]],
        )
        for one in conditions
    }
    return Plan(signals, carriers, looks)


def _structures(condition: Condition, margin: int) -> list[Structure]:
    """The structure in every direction."""
    build = plugins.load(KINDS, condition.kind).structure
    return [build(condition.size_voxels, direction, condition.radius(margin)) for direction in DIRECTIONS]


def study(
    truth: Image, lr: Image, methods: Mapping[str, Restore], settings: Planted, root_seed: int
) -> Iterator[Detection]:
    """Plants structures in some slices of a volume and counts what the observer finds in the restorations.

    Args:
        truth: extracted volume.
        lr: its low-resolution image, which carries the forward model.
        methods: what restores the slices, by name; the truth itself is looked at beside them.
        settings: the section `planted`.
        root_seed: of the run; places hang on it and on the volume's name.

    Yields:
        One row a method, kind, size and contrast. Conditions for which there was no room are left out.

    Raises:
        UserError: the volume cannot be cut into slices that show what was lost.
    """
    base = excerpt(truth, lr, settings.slices)
    foreground = np.moveaxis(base.truth.masks["foreground"], base.slice_axis, 0)
    seed = volume_seed(root_seed, f"{truth.facts['id']}/planted")
    plan = plan_structures(
        foreground, max(base.model.factors), settings, seed, neighbours=is_isotropic(base.model.factors)
    )
    if not any(len(looks.planted.places) for looks in plan.looks.values()):
        return
    absent = _planted(base, plan, 0.0)
    present = {contrast: _planted(base, plan, contrast) for contrast in settings.contrasts}
    todo: dict[str, Restore] = {TRUTH: lambda image: image.data, **methods}
    for method, restore in tqdm(todo.items(), truth.facts["id"], disable=not show_progress()):

        def seen(image: Image, method: str = method, restore: Restore = restore) -> NDArray[np.floating]:
            shown = image if method == TRUTH else degrade(image, base.model)
            return np.moveaxis(crop_to(restore(shown), image.data.shape), base.slice_axis, 0)

        without = seen(absent)
        for contrast, image in present.items():
            yield from _detections(base, method, contrast, plan, seen(image), without, settings)


def _planted(base: Excerpt, plan: Plan, contrast: float) -> Image:
    """Returns the truth with the structures of a contrast, and what carries them."""
    added = CARRIER_CONTRAST * plan.carriers + contrast * plan.signals
    planted = base.truth.data + np.moveaxis(added, 0, base.slice_axis)
    return base.truth.with_data(planted.astype(np.float32))


def _detections(
    base: Excerpt,
    method: str,
    contrast: float,
    plan: Plan,
    present: NDArray[np.floating],
    absent: NDArray[np.floating],
    settings: Planted,
) -> Iterator[Detection]:
    """Lets the observer look at restorations with and without the structures; yields one row a condition."""
    truth, sign = base.truth, np.sign(contrast)
    within = [length for axis, length in enumerate(truth.spacing) if axis != base.slice_axis]
    for condition, looks in plan.looks.items():
        if not len(looks.planted.places) or not len(looks.plain.places):
            continue
        with_it, without_it = (sign * looks.at(images, looks.planted) for images in (present, absent))
        plain = sign * looks.at(absent, looks.plain)
        limit = observer.threshold(plain, settings.false_alarm_rate)
        yield Detection(
            truth.facts["id"],
            truth.facts["subject"],
            truth.facts["split"],
            method,
            condition.kind,
            condition.size_voxels,
            contrast,
            len(with_it),
            int(np.count_nonzero(with_it > limit)),
            int(np.count_nonzero(without_it > limit)),
            observer.detectability(with_it, plain),
            observer.area_under_curve(with_it, plain),
            condition.size_voxels * float(np.mean(within)),
            truth.unit,
        )
