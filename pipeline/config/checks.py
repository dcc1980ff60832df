"""Mistakes that no single key shows: leaks between splits, names that lead nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from pipeline import plugins
from pipeline.config.known import known_sources
from pipeline.config.sources import Source
from pipeline.config.stages import Infer, Train
from pipeline.config.volumes import Volume

NETWORK_METHODS = ("pretrained", "rrdb_l1")


def check_volumes(volumes: Sequence[Volume], sources: Mapping[str, Source]) -> Iterator[str]:
    """Names double ids, unknown sources, empty blocks and splits that the run cannot do without."""
    counts = Counter(volume.id for volume in volumes)
    yield from (f"volumes: the id {name!r} stands {count} times" for name, count in counts.items() if count > 1)
    known = {**known_sources(), **sources}
    for index, volume in enumerate(volumes):
        if volume.source not in known:
            yield f"volumes[{index}].source: {volume.source!r} is unknown; {plugins.suggest(volume.source, known)}"
        elif known[volume.source].network is not None:
            yield f"volumes[{index}].source: {volume.source!r} holds network weights, not an image"
        if volume.slices and volume.slices[1] <= volume.slices[0]:
            yield f"volumes[{index}].slices: {list(volume.slices)} is empty; give [start, stop) with start < stop"
    present = {volume.split for volume in volumes}
    for split, why in (("train", "nothing to learn from"), ("val", "nothing to choose settings on")):
        if split not in present:
            yield f"volumes: none is in split {split!r}: there is {why}"
    if not present & {"test", "test_within_subject"}:
        yield "volumes: none is in split 'test' or 'test_within_subject': there is nothing to prove anything on"


def check_leaks(volumes: Sequence[Volume], min_gap_slices: int) -> Iterator[str]:
    """Names subjects and files that stand in two splits, but for blocks of one head with a wide enough gap."""
    for one, other in combinations(volumes, 2):
        if one.split == other.split:
            continue
        pair = f"volumes {one.id!r} ({one.split}) and {other.id!r} ({other.split})"
        if one.subject != other.subject:
            if one.source == other.source:
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


def gap_between(one: Volume, other: Volume) -> int | None:
    """Returns the number of slices between two blocks of one source; negative where they overlap."""
    if one.source != other.source or one.slices is None or other.slices is None:
        return None
    return max(one.slices[0], other.slices[0]) - min(one.slices[1], other.slices[1])


def check_train(train: Train, sources: Mapping[str, Source]) -> Iterator[str]:
    """Names initial weights that are unknown or hold no network."""
    known = {name: source for name, source in {**known_sources(), **sources}.items() if source.network}
    if train.initial_weights not in known:
        nearest = plugins.suggest(train.initial_weights, known)
        yield f"train.initial_weights: {train.initial_weights!r} is unknown; {nearest}"
    if not train.losses:
        yield "train.losses: {} is not allowed: give at least one loss term and its weight, such as {l1: 1.0}"


def check_infer(infer: Infer) -> Iterator[str]:
    """Names a deliverable that no method makes, and an overlap that leaves no tile."""
    methods = [*plugins.names("pipeline.upsamplers"), *NETWORK_METHODS]
    if infer.deliver not in methods:
        yield f"infer.deliver: {infer.deliver!r} is unknown; {plugins.suggest(infer.deliver, methods)}"
    for name in infer.consistency:
        if name not in NETWORK_METHODS:
            yield f"infer.consistency.{name}: {name!r} is no network; {plugins.suggest(name, NETWORK_METHODS)}"
    if 2 * infer.overlap_lr >= infer.tile_lr:
        half = f"half of infer.tile_lr, {infer.tile_lr / 2:g}"
        yield f"infer.overlap_lr: {infer.overlap_lr} is not allowed: it must be less than {half}"
