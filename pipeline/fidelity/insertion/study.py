"""Lesion-insertion study: insert structures, degrade, restore with every method, and apply the model observer.

Each method restores the same slices with the same noise: once without structures (carriers remain), and once per
contrast with them. The observer's threshold is set for each method, kind and size in the restoration without
structures, at other places, to a fixed false-alarm rate: it is the same for a method that leaves noise as for one that
removes it.

The study can be repeated with other places and other noise (draws).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline import plugins
from pipeline.config.sections import REFERENCE, Insertion
from pipeline.fidelity.insertion import observer
from pipeline.fidelity.insertion.methods import Restore
from pipeline.fidelity.insertion.sites import DIRECTIONS, KINDS, Condition, Sites, background_sites, insertion_sites
from pipeline.fidelity.insertion.structure import Structure
from pipeline.image.image import Image
from pipeline.physics.degradation import degrade
from pipeline.physics.excerpts import Excerpt, excerpt
from pipeline.physics.forward import ForwardModel, volume_seed
from pipeline.physics.grid import crop_to, is_isotropic
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.tables.inserted_places import InsertedPlace
from pipeline.tables.inserted_structures import DetectionCounts

CARRIER_CONTRAST = 0.4
"""Contrast of carriers, as a fraction of the normalised range."""
BACKGROUND_SITES = 2000
"""Number of sites without a structure from which the threshold is computed."""


class Responses(NamedTuple):
    """Responses of the observer in one draw, for one method, condition and contrast; higher where it sees a structure.

    Attributes:
        draw: number of the draw.
        method: name of the method.
        condition: kind and size of the structures.
        contrast: contrast of the structures.
        slices: index of the slice of each inserted structure, shape (places,).
        present: responses at the structures, shape (places,).
        absent: responses at the same places in the restoration without structures.
        background: responses at other places without a structure.
        threshold: response above which the observer detects a structure.
        size: size of the structures, in the unit of the image.
    """

    draw: int
    method: str
    condition: Condition
    contrast: float
    slices: NDArray[np.intp]
    present: NDArray[np.float64]
    absent: NDArray[np.float64]
    background: NDArray[np.float64]
    threshold: float
    size: float


class ObserverSites(NamedTuple):
    """Sites of one condition with and without structures, and the observer's template for each direction."""

    inserted: Sites
    background: Sites
    templates: list[NDArray[np.float64]]

    def responses(self, images: NDArray[np.floating], sites: Sites) -> NDArray[np.float64]:
        """Return the responses of the observer at sites of some images."""
        return observer.responses(images, sites.places, [self.templates[one] for one in sites.directions])


class InsertionPlan(NamedTuple):
    """Structures in the slices of an excerpt; arrays have the shape (slices, rows, columns).

    Attributes:
        signals: fraction of each voxel that structures cover.
        carriers: fraction of each voxel that carriers cover.
        sites: sites by condition.
    """

    signals: NDArray[np.float64]
    carriers: NDArray[np.float64]
    sites: dict[Condition, ObserverSites]


class RestoredPair(NamedTuple):
    """Slices that one method restored with and without structures, in one draw and at one contrast.

    Attributes:
        base: the slices of the reference.
        draw: number of the draw.
        method: name of the method.
        contrast: contrast of the structures.
        plan: the structures.
        present: restored with the structures, shape (slices, rows, columns), normalised.
        absent: restored without them.
    """

    base: Excerpt
    draw: int
    method: str
    contrast: float
    plan: InsertionPlan
    present: NDArray[np.floating]
    absent: NDArray[np.floating]


def plan_insertion(
    foreground: NDArray[np.bool_], margin: int, settings: Insertion, seed: int, adjacent: bool = False
) -> InsertionPlan:
    """Draw the places of the structures.

    Args:
        foreground: foreground of the slices, shape (slices, rows, columns).
        margin: width of the background around each structure, in voxels.
        settings: the section `insertion`.
        seed: random seed.
        adjacent: whether the slices are adjacent and degraded together. Structures are then as thick as their size, and
            lie in slices that are far enough apart.
    """
    generator = np.random.default_rng(seed)
    conditions = [Condition(*one) for one in product(settings.kinds, settings.sizes_voxels)]
    step = math.ceil(max(settings.sizes_voxels, default=1)) + 2 * margin if adjacent else 1
    apart = np.arange(len(foreground)) % step == step // 2
    sites = insertion_sites(foreground & apart[:, None, None], conditions, settings.count, margin, generator)
    shapes = {one: _rotated_structures(one, margin) for one in conditions}
    signals, carriers = np.zeros(foreground.shape), np.zeros(foreground.shape)
    for condition, found in sites.items():
        radius = condition.radius(margin)
        depth = max(1, round(condition.size_voxels)) if adjacent else 1
        for (index, row, column), direction in zip(found.places, found.directions, strict=True):
            thick = slice(max(0, index - depth // 2), index - depth // 2 + depth)
            window = (thick, slice(row - radius, row + radius + 1), slice(column - radius, column + radius + 1))
            signals[window] += shapes[condition][direction].signal
            carriers[window] += shapes[condition][direction].carrier
    observed = {
        one: ObserverSites(
            sites[one],
            background_sites(foreground, carriers > 0, one.radius(margin), BACKGROUND_SITES, generator),
            [observer.weights(shape) for shape in shapes[one]],
        )
        for one in conditions
    }
    return InsertionPlan(signals, carriers, observed)


def _rotated_structures(condition: Condition, margin: int) -> list[Structure]:
    """Return the structure in each of `DIRECTIONS`."""
    build = plugins.load(KINDS, condition.kind).structure
    return [build(condition.size_voxels, direction, condition.radius(margin)) for direction in DIRECTIONS]


def run_study(
    reference: Image, lr: LowResolutionImage, methods: Mapping[str, Restore], settings: Insertion, root_seed: int
) -> Iterator[Responses]:
    """Insert structures into some slices of a volume and apply the observer to their restorations.

    Args:
        reference: extracted volume.
        lr: its low-resolution image, with the forward model.
        methods: methods by name; the reference itself is evaluated too.
        settings: the section `insertion`.
        root_seed: seed of the run; places and noise depend on it, on the name of the volume and on the draw.

    Yields:
        The responses of each draw, method, condition and contrast; conditions without room are skipped.

    Raises:
        UserError: no excerpt of the volume can be degraded.
    """
    for pair in restore_pairs(excerpt(reference, lr, settings.slices), methods, settings, root_seed):
        yield from observe(pair, settings)


def restore_pairs(
    base: Excerpt, methods: Mapping[str, Restore], settings: Insertion, root_seed: int
) -> Iterator[RestoredPair]:
    """Yield the slices as restored with and without structures, by every method, in every draw.

    Args:
        base: the slices.
        methods: as in `run_study`.
        settings: as in `run_study`.
        root_seed: as in `run_study`.
    """
    for draw in range(settings.draws):
        # The label is hashed into the seed: with another one, structures would be inserted elsewhere.
        name = f"{base.reference.id}/planted" + (f"/{draw}" if draw else "")
        # The first draw has the noise of the volume itself.
        model = replace(base.model, seed=volume_seed(root_seed, f"{name}/noise")) if draw else base.model
        foreground = np.moveaxis(base.reference.masks["foreground"], base.slice_axis, 0)
        adjacent, seed = is_isotropic(model.factors), volume_seed(root_seed, name)
        plan = plan_insertion(foreground, math.ceil(max(model.factors)), settings, seed, adjacent)
        if not any(len(sites.inserted.places) for sites in plan.sites.values()):
            continue
        absent = _insert(base, plan, 0.0)
        present = {contrast: _insert(base, plan, contrast) for contrast in settings.contrasts}
        for method in tqdm([REFERENCE, *methods], base.reference.id, disable=None):

            def restored(image: Image, method: str = method, model: ForwardModel = model) -> NDArray[np.floating]:
                data = image.data if method == REFERENCE else methods[method](degrade(image, model))
                return np.moveaxis(crop_to(data, image.data.shape), base.slice_axis, 0)

            without = restored(absent)
            for contrast, image in present.items():
                yield RestoredPair(base, draw, method, contrast, plan, restored(image), without)


def _insert(base: Excerpt, plan: InsertionPlan, contrast: float) -> Image:
    """Return the reference with carriers, and structures of a contrast."""
    added = CARRIER_CONTRAST * plan.carriers + contrast * plan.signals
    inserted = base.reference.data + np.moveaxis(added, 0, base.slice_axis)
    return base.reference.with_data(inserted.astype(np.float32))


def observe(pair: RestoredPair, settings: Insertion) -> Iterator[Responses]:
    """Apply the observer to restorations with and without structures."""
    reference, sign = pair.base.reference, np.sign(pair.contrast)
    in_plane = [length for axis, length in enumerate(reference.spacing) if axis != pair.base.slice_axis]
    for condition, sites in pair.plan.sites.items():
        if not len(sites.inserted.places) or not len(sites.background.places):
            continue
        present, absent = (sign * sites.responses(images, sites.inserted) for images in (pair.present, pair.absent))
        background = sign * sites.responses(pair.absent, sites.background)
        threshold = observer.threshold(background, settings.false_alarm_rate)
        size = condition.size_voxels * float(np.mean(in_plane))
        slices = sites.inserted.places[:, 0]
        names = (pair.draw, pair.method, condition, pair.contrast)
        yield Responses(*names, slices, present, absent, background, threshold, size)


def count_detections(reference: Image, responses: Iterable[Responses]) -> list[DetectionCounts]:
    """Count detections: one row per method, condition and contrast, over all draws.

    Args:
        reference: extracted volume.
        responses: see `run_study`.
    """
    volume = (reference.id, reference.identity.subject, reference.identity.split)
    groups: dict[tuple[str, float, Condition], list[Responses]] = {}
    for one in responses:
        groups.setdefault((one.method, one.contrast, one.condition), []).append(one)
    rows = []
    for (method, contrast, condition), draws in groups.items():
        present = np.concatenate([one.present for one in draws])
        background = np.concatenate([one.background for one in draws])
        rows.append(
            DetectionCounts(
                *volume,
                method=method,
                kind=condition.kind,
                size_voxels=condition.size_voxels,
                contrast=contrast,
                inserted=len(present),
                detected=sum(int(np.count_nonzero(one.present > one.threshold)) for one in draws),
                false_alarms=sum(int(np.count_nonzero(one.absent > one.threshold)) for one in draws),
                d_prime=observer.detectability(present, background),
                auc=observer.area_under_curve(present, background),
                size=draws[0].size,
                unit=reference.unit,
            )
        )
    return rows


def list_places(reference: Image, responses: Iterable[Responses]) -> Iterator[InsertedPlace]:
    """Yield one row per method, structure and contrast; arguments as in `count_detections`."""
    volume = (reference.id, reference.identity.subject, reference.identity.split)
    for one in responses:
        kind, size = one.condition
        decisions = zip(one.slices, one.present > one.threshold, one.absent > one.threshold, strict=True)
        for place, (index, detected, alarm) in enumerate(decisions):
            names = (*volume, one.method, kind, size, one.contrast)
            yield InsertedPlace(*names, one.draw, int(index), place, int(detected), int(alarm))
