"""The experiment: insert, degrade, restore with every method, and let the observer look.

One restoration is without the structures (what carries them is there), one a contrast is with them, all of the same
slices with the same noise. At which response the observer says "there" is set for every method, kind and size on places
of the restoration without, which are not those of the structures, so that it says so wrongly at a rate that is fixed:
the same rate for a method that leaves noise as for one that takes it out.

All of this may be drawn several times, at other places and with other noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline import plugins
from pipeline.config.sections import REFERENCE, Insertion
from pipeline.console import show_progress
from pipeline.fidelity.insertion import observer
from pipeline.fidelity.insertion.sites import DIRECTIONS, KINDS, Condition, Sites, background_sites, insertion_sites
from pipeline.fidelity.insertion.structure import Structure
from pipeline.image.image import Image
from pipeline.physics.degradation import degrade
from pipeline.physics.excerpts import Excerpt, excerpt
from pipeline.physics.forward import volume_seed
from pipeline.physics.grid import crop_to, is_isotropic
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.tables.inserted_places import InsertedPlace
from pipeline.tables.inserted_structures import DetectionCounts

CARRIER_CONTRAST = 0.4
"""Of what carries a structure, as a fraction of the normalised range."""
BACKGROUND_SITES = 2000
"""Places without a structure on which the threshold is set."""

Restore = Callable[[LowResolutionImage], NDArray[np.floating]]
"""Maps a low-resolution image to normalised intensities, larger by its factors."""


class Seen(NamedTuple):
    """What the observer sees in one draw, of one method, condition and contrast: responses, higher for insertions.

    Attributes:
        draw: number of the draw.
        method: what restored the slices.
        condition: kind and size.
        contrast: of the structures.
        slices: index of the slice of each inserted place, shape (places,).
        present: responses at inserted places, with the structures, shape (places,).
        absent: the same places without the structures.
        plain: responses at other places, without any structure.
        limit: response above which the observer says that there is one.
        size: of the structures, in the unit of the image.
    """

    draw: int
    method: str
    condition: Condition
    contrast: float
    slices: NDArray[np.intp]
    present: NDArray[np.float64]
    absent: NDArray[np.float64]
    plain: NDArray[np.float64]
    limit: float
    size: float


class Looks(NamedTuple):
    """Where the observer looks for a condition: at inserted and at plain sites, with the weights for each."""

    inserted: Sites
    plain: Sites
    weights: list[NDArray[np.float64]]

    def at(self, images: NDArray[np.floating], sites: Sites) -> NDArray[np.float64]:
        """Return the responses at sites."""
        return observer.responses(images, sites.places, [self.weights[one] for one in sites.directions])


class Plan(NamedTuple):
    """What is inserted in the slices of an excerpt; arrays have the shape (slices, rows, columns).

    Attributes:
        signals: share of each voxel that structures cover.
        carriers: the same of what carries them.
        looks: where the observer looks, by condition.
    """

    signals: NDArray[np.float64]
    carriers: NDArray[np.float64]
    looks: dict[Condition, Looks]


class Restored(NamedTuple):
    """What a method makes of the slices, in one draw and at one contrast.

    Attributes:
        base: the slices.
        draw: number of the draw.
        method: what restored them.
        contrast: of the structures.
        plan: what is inserted where.
        present: restored with the structures, shape (slices, rows, columns), normalised.
        absent: the same without them.
    """

    base: Excerpt
    draw: int
    method: str
    contrast: float
    plan: Plan
    present: NDArray[np.floating]
    absent: NDArray[np.floating]


def plan_structures(
    foreground: NDArray[np.bool_], margin: int, settings: Insertion, seed: int, neighbours: bool = False
) -> Plan:
    """Decide what is inserted where.

    Args:
        foreground: of the slices, shape (slices, rows, columns).
        margin: of background around each structure, in voxels.
        settings: the section `inserted`.
        seed: of the places.
        neighbours: slices are neighbours that are coarsened together. There, structures are as thick as their size, and
            lie in slices that are apart.
    """
    generator = np.random.default_rng(seed)
    conditions = [Condition(*one) for one in product(settings.kinds, settings.sizes_voxels)]
    step = math.ceil(max(settings.sizes_voxels, default=1)) + 2 * margin if neighbours else 1
    apart = np.arange(len(foreground)) % step == step // 2
    sites = insertion_sites(foreground & apart[:, None, None], conditions, settings.count, margin, generator)
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
            background_sites(foreground, carriers > 0, one.radius(margin), BACKGROUND_SITES, generator),
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
    reference: Image, lr: LowResolutionImage, methods: Mapping[str, Restore], settings: Insertion, root_seed: int
) -> Iterator[Seen]:
    """Insert structures in some slices of a volume and lets the observer look at the restorations.

    Args:
        reference: extracted volume.
        lr: its low-resolution image, which carries the forward model.
        methods: what restores the slices, by name; the reference itself is looked at beside them.
        settings: the section `inserted`.
        root_seed: of the run; places and noise hang on it, on the volume's name and on the number of the draw.

    Yields:
        What is seen of every draw, method, condition and contrast. Conditions for which there was no room are left out.

    Raises:
        UserError: the volume cannot be cut into slices that show what was lost.
    """
    for one in restorations(excerpt(reference, lr, settings.slices), methods, settings, root_seed):
        yield from looked_at(one, settings)


def restorations(
    base: Excerpt, methods: Mapping[str, Restore], settings: Insertion, root_seed: int
) -> Iterator[Restored]:
    """Insert structures in an excerpt and restores it with every method, as often as the settings say.

    Args:
        base: the slices.
        methods: as in `study`, like what follows.
        settings: see there.
        root_seed: see there.
    """
    for draw in range(settings.draws):
        yield from _one_draw(base, draw, methods, settings, root_seed)


def _one_draw(
    base: Excerpt, draw: int, methods: Mapping[str, Restore], settings: Insertion, root_seed: int
) -> Iterator[Restored]:
    """Insert once, at places of its own; the first draw has the noise of the volume itself."""
    # The label is hashed into the seed: with another one, structures would be inserted elsewhere.
    name = f"{base.reference.id}/planted" + (f"/{draw}" if draw else "")
    model = replace(base.model, seed=volume_seed(root_seed, f"{name}/noise")) if draw else base.model
    foreground = np.moveaxis(base.reference.masks["foreground"], base.slice_axis, 0)
    neighbours, seed = is_isotropic(model.factors), volume_seed(root_seed, name)
    plan = plan_structures(foreground, max(model.factors), settings, seed, neighbours)
    if not any(len(looks.inserted.places) for looks in plan.looks.values()):
        return
    absent = _inserted(base, plan, 0.0)
    present = {contrast: _inserted(base, plan, contrast) for contrast in settings.contrasts}
    for method in tqdm([REFERENCE, *methods], name, disable=not show_progress()):

        def seen(image: Image, method: str = method) -> NDArray[np.floating]:
            restored = image.data if method == REFERENCE else methods[method](degrade(image, model))
            return np.moveaxis(crop_to(restored, image.data.shape), base.slice_axis, 0)

        without = seen(absent)
        for contrast, image in present.items():
            yield Restored(base, draw, method, contrast, plan, seen(image), without)


def _inserted(base: Excerpt, plan: Plan, contrast: float) -> Image:
    """Return the reference with the structures of a contrast, and what carries them."""
    added = CARRIER_CONTRAST * plan.carriers + contrast * plan.signals
    inserted = base.reference.data + np.moveaxis(added, 0, base.slice_axis)
    return base.reference.with_data(inserted.astype(np.float32))


def looked_at(shown: Restored, settings: Insertion) -> Iterator[Seen]:
    """Let the observer look at restorations with and without the structures."""
    reference, sign = shown.base.reference, np.sign(shown.contrast)
    within = [length for axis, length in enumerate(reference.spacing) if axis != shown.base.slice_axis]
    for condition, looks in shown.plan.looks.items():
        if not len(looks.inserted.places) or not len(looks.plain.places):
            continue
        present, absent = (sign * looks.at(images, looks.inserted) for images in (shown.present, shown.absent))
        plain = sign * looks.at(shown.absent, looks.plain)
        limit = observer.threshold(plain, settings.false_alarm_rate)
        size = condition.size_voxels * float(np.mean(within))
        slices = looks.inserted.places[:, 0]
        yield Seen(shown.draw, shown.method, condition, shown.contrast, slices, present, absent, plain, limit, size)


def detections(reference: Image, seen: Iterable[Seen]) -> list[DetectionCounts]:
    """Count what the observer found: one row a method, condition and contrast, over all draws.

    Args:
        reference: extracted volume.
        seen: what `study` yields.
    """
    identity = reference.identity
    volume, subject, split = identity.id, identity.subject, identity.split
    groups: dict[tuple[str, float, Condition], list[Seen]] = {}
    for one in seen:
        groups.setdefault((one.method, one.contrast, one.condition), []).append(one)
    rows = []
    for (method, contrast, condition), draws in groups.items():
        present, plain = (np.concatenate([getattr(one, name) for one in draws]) for name in ("present", "plain"))
        rows.append(
            DetectionCounts(
                volume,
                subject,
                split,
                method,
                condition.kind,
                condition.size_voxels,
                contrast,
                len(present),
                sum(int(np.count_nonzero(one.present > one.limit)) for one in draws),
                sum(int(np.count_nonzero(one.absent > one.limit)) for one in draws),
                observer.detectability(present, plain),
                observer.area_under_curve(present, plain),
                draws[0].size,
                reference.unit,
            )
        )
    return rows


def place_rows(reference: Image, seen: Iterable[Seen]) -> Iterator[InsertedPlace]:
    """Yield one row a method, structure and contrast; arguments as in `detections`."""
    identity = reference.identity
    volume, subject, split = identity.id, identity.subject, identity.split
    for one in seen:
        kind, size = one.condition
        answers = zip(one.slices, one.present > one.limit, one.absent > one.limit, strict=True)
        for place, (index, detected, alarm) in enumerate(answers):
            names = (volume, subject, split, one.method, kind, size, one.contrast)
            yield InsertedPlace(*names, one.draw, int(index), place, int(detected), int(alarm))
