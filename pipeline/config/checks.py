"""Mistakes that no single key shows: leaks between splits, names that lead nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from pipeline import plugins
from pipeline.config.known import known_sources
from pipeline.config.recipe import PRETRAINED, SCRATCH, Recipe, preset, preset_names
from pipeline.config.sources import Source
from pipeline.config.stages import Degrade, Infer, Train
from pipeline.config.volumes import Volume

PAGES = ("index", "training")
"""Names of pages of the report, which are no volume's."""


def check_volumes(volumes: Sequence[Volume], sources: Mapping[str, Source]) -> Iterator[str]:
    """Names double ids, unknown sources, empty blocks and splits that the run cannot do without."""
    counts = Counter(volume.id for volume in volumes)
    yield from (f"volumes: the id {name!r} stands {count} times" for name, count in counts.items() if count > 1)
    taken = [name for name in PAGES if name in counts]
    yield from (f"volumes: the id {name!r} is the name of a page of the report; choose another" for name in taken)
    yield from dict.fromkeys(_check_sources(volumes, {**known_sources(), **sources}))
    for index, volume in enumerate(volumes):
        if volume.slices and volume.slices[1] <= volume.slices[0]:
            yield f"volumes[{index}].slices: {list(volume.slices)} is empty; give [start, stop) with start < stop"
        yield from _check_stack(volume)
    present = {volume.split for volume in volumes}
    for split, why in (("train", "nothing to learn from"), ("val", "nothing to choose settings on")):
        if split not in present:
            yield f"volumes: none is in split {split!r}: there is {why}"
    if not present & {"test", "test_within_subject"}:
        yield "volumes: none is in split 'test' or 'test_within_subject': there is nothing to prove anything on"


def _check_sources(volumes: Sequence[Volume], known: Mapping[str, Source]) -> Iterator[str]:
    """Names sources that are unknown or hold no image; all stacks of a collection bring the same message."""
    for index, volume in enumerate(volumes):
        place = "collections" if volume.is_stack else f"volumes[{index}].source"
        if volume.source not in known:
            yield f"{place}: {volume.source!r} is unknown; {plugins.suggest(volume.source, known)}"
        elif known[volume.source].network is not None:
            yield f"{place}: {volume.source!r} holds network weights, not an image"


def _check_stack(volume: Volume) -> Iterator[str]:
    """Names keys of volumes and of stacks of pictures that do not go together."""
    if volume.shard and volume.shard[0] >= volume.shard[1]:
        yield f"volume {volume.id!r}: shard {list(volume.shard)} is not allowed; give [index, count], index < count"
    if volume.shard and volume.slices:
        yield f"volume {volume.id!r}: slices are of volumes, shard is of pictures; give one of them"
    if volume.folder and not volume.shard:
        yield f"volume {volume.id!r}: a folder of pictures needs a shard; [0, 1] takes them all"


def check_leaks(volumes: Sequence[Volume], min_gap_slices: int) -> Iterator[str]:
    """Names subjects and files that stand in two splits, but for blocks of one head with a wide enough gap."""
    for one, other in combinations(volumes, 2):
        if one.split == other.split:
            continue
        pair = f"volumes {one.id!r} ({one.split}) and {other.id!r} ({other.split})"
        if one.subject != other.subject:
            if one.source == other.source and not _pictures_apart(one, other):
                yield f"{pair}: the same source {one.source!r} is given two subjects"
            continue
        if "test" in (one.split, other.split):
            yield f"{pair}: subject {one.subject!r} is in two splits; a block kept apart is 'test_within_subject'"
            continue
        gap = gap_between(one, other)
        if gap is None:
            yield f"{pair}: subject {one.subject!r} is in two splits; give both of them `slices` of one source"
        elif gap < min_gap_slices:
            yield f"{pair}: {max(gap, 0)} slices lie between them; at least {min_gap_slices} must (min_gap_slices)"


def _pictures_apart(one: Volume, other: Volume) -> bool:
    """Says whether two stacks of pictures of one source can have no file in common."""
    if one.shard is None or other.shard is None:
        return False
    if one.folder == other.folder:
        return one.shard[1] == other.shard[1] and one.shard[0] != other.shard[0]
    inner, outer = sorted((f"{one.folder or ''}/", f"{other.folder or ''}/"), key=len, reverse=True)
    return outer != "/" and not inner.startswith(outer)


def gap_between(one: Volume, other: Volume) -> int | None:
    """Returns the number of slices between two blocks of one source; negative where they overlap."""
    if one.source != other.source or one.slices is None or other.slices is None:
        return None
    return max(one.slices[0], other.slices[0]) - min(one.slices[1], other.slices[1])


def check_train(train: Train, sources: Mapping[str, Source], degrade: Degrade) -> Iterator[str]:
    """Names weights that are unknown, hold no network, or belong to another factor."""
    known = {**known_sources(), **sources}
    networks = {name: source.network for name, source in known.items() if source.network}
    network = networks.get(train.initial_weights)
    if network is None:
        nearest = plugins.suggest(train.initial_weights, networks)
        yield f"train.initial_weights: {train.initial_weights!r} is unknown; {nearest}"
    elif network.factor != degrade.factor:
        yield (
            f"degrade.factor: {degrade.factor} is not what train.initial_weights: {train.initial_weights} enlarges by, "
            f"{network.factor}; choose weights for your factor"
        )
    features = [name for name, source in known.items() if source.features]
    if train.perceptual_weights not in features:
        nearest = plugins.suggest(train.perceptual_weights, features)
        yield f"train.perceptual_weights: {train.perceptual_weights!r} is unknown; {nearest}"


def check_recipes(methods: Sequence[str], recipes: Mapping[str, Recipe]) -> Iterator[str]:
    """Names methods without a recipe, recipes that start from nothing known, and chains that never begin."""
    known = sorted({*recipes, *preset_names()})
    for index, method in enumerate(methods):
        if method not in known:
            yield f"methods[{index}]: there is no recipe {method!r}; {plugins.suggest(method, known)}"
    for name, recipe in recipes.items():
        if name in (SCRATCH, PRETRAINED) or name in plugins.names("pipeline.upsamplers"):
            yield f"recipes.{name}: the name is taken; choose another"
        if recipe.based_on and preset(recipe.based_on) is None:
            yield f"recipes.{name}.based_on: {plugins.suggest(recipe.based_on, preset_names())}"
        starts = [SCRATCH, PRETRAINED, *(other for other in known if other != name)]
        if recipe.starts_from not in starts:
            nearest = plugins.suggest(recipe.starts_from, starts)
            yield f"recipes.{name}.starts_from: there is no network {recipe.starts_from!r}; {nearest}"
        elif name in _chain(recipe.starts_from, recipes):
            yield f"recipes.{name}.starts_from: {recipe.starts_from!r} starts, in the end, from {name!r} itself"


def _chain(name: str, recipes: Mapping[str, Recipe]) -> list[str]:
    """The recipe and all that it hangs on, as far as they are known."""
    chain: list[str] = []
    while name not in chain and (name in recipes or preset(name) is not None):
        chain.append(name)
        given = preset(name) or {}
        name = recipes[name].starts_from if name in recipes else given.get("starts_from", PRETRAINED)
    return chain


def check_infer(infer: Infer, methods: Sequence[str], recipes: Mapping[str, Recipe]) -> Iterator[str]:
    """Names a deliverable that no method makes, and an overlap that leaves no tile."""
    trained = dict.fromkeys(name for method in methods for name in _chain(method, recipes))
    methods = [*trained, PRETRAINED, *plugins.names("pipeline.upsamplers")]
    if infer.deliver not in methods:
        yield f"infer.deliver: {infer.deliver!r} is unknown; {plugins.suggest(infer.deliver, methods)}"
    if 2 * infer.overlap_lr >= infer.tile_lr:
        half = f"half of infer.tile_lr, {infer.tile_lr / 2:g}"
        yield f"infer.overlap_lr: {infer.overlap_lr} is not allowed: it must be less than {half}"
