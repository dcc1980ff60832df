"""Channels and colours: they lie between the slices, so that whatever works slice by slice restores all of them.

An image of two sections with the colours red, green and blue is an array of six slices: red, green and blue of the
first section, then those of the second. The affine and the key `slices` of the configuration count sections. In a stack
of a collection's pictures, a coloured picture has three slices and a grey one has one.

The facts of an image tell it: `channels` are the names of its channels, `sections` the section that each slice of the
array belongs to. Where no section has several channels, `sections` is left out: every slice is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.image.stack import is_collection

COLOURS = ("red", "green", "blue")
SLICE_AXIS = 2
"""Images with channels are micrographs and pictures: their slices follow each other along z."""


def channel_count(facts: Mapping[str, Any]) -> int:
    """Return how many channels each section of an image has; the pictures of a collection may differ, and give 1."""
    return max(1, len(facts.get("channels", ())))


def has_channels(facts: Mapping[str, Any]) -> bool:
    """Return whether some section of an image has several channels, so that neighbouring slices show one place."""
    return "sections" in facts


def slices_are_neighbours(facts: Mapping[str, Any]) -> bool:
    """Return whether slices that follow each other in the array show places that do so, too.

    They do not in a stack of a collection's pictures, and where the channels of a section lie between the sections.
    """
    return not (has_channels(facts) or is_collection(facts))


def colours_of(facts: Mapping[str, Any]) -> int:
    """Return how many slices of the array make one coloured picture: 3 where all sections have red, green and blue.

    It is 1 for grey images, for channels of other meaning, and for stacks in which some pictures are grey.
    """
    if not has_channels(facts):
        return 1
    named = is_collection(facts) or tuple(facts.get("channels", ())) == COLOURS
    _, counts = np.unique(facts["sections"], return_counts=True)
    return len(COLOURS) if named and set(counts.tolist()) == {len(COLOURS)} else 1


def with_its_colours(index: int, colours: int) -> range:
    """Return the slices of the picture that a slice belongs to, where every `colours` slices make one."""
    first = index - index % colours
    return range(first, first + colours)


def one_a_picture(facts: Mapping[str, Any], slices: Iterable[int]) -> list[int]:
    """Return one of some slices for each picture: of coloured ones, green; all where they are grey."""
    colours = colours_of(facts)
    return list(dict.fromkeys(with_its_colours(index, colours)[colours // 2] for index in slices))


def sections_of(facts: Mapping[str, Any], count: int) -> NDArray[np.int64]:
    """Return the section that each of the `count` slices of an array belongs to, counted from 0 and rising."""
    return np.asarray(facts["sections"]) if has_channels(facts) else np.arange(count)


def section_of(facts: Mapping[str, Any], index: int) -> int:
    """Return the section that a slice of the array belongs to."""
    return int(facts["sections"][index]) if has_channels(facts) else index


def by_section(facts: Mapping[str, Any], slices: Iterable[int]) -> list[list[int]]:
    """Return some slices of the array, those that show the same section together."""
    found: dict[int, list[int]] = {}
    for index in slices:
        found.setdefault(section_of(facts, index), []).append(index)
    return list(found.values())


def count_sections(facts: Mapping[str, Any], slices: Iterable[int]) -> int:
    """Return how many sections some slices of the array belong to."""
    return len(by_section(facts, slices))


def middle_slice(facts: Mapping[str, Any], section: int) -> int:
    """Return the slice of the array that shows the middle channel of a section: of colours, green."""
    if not has_channels(facts):
        return section
    found = np.flatnonzero(np.asarray(facts["sections"]) == section)
    return int(found[len(found) // 2])


def apart(data: NDArray, count: int) -> list[NDArray]:
    """Return the channels of an array (x, y, slice): views of shape (x, y, section)."""
    return [data[..., channel::count] for channel in range(count)] if count > 1 else [data]


def together(channels: Sequence[NDArray]) -> NDArray:
    """Undo `apart`."""
    if len(channels) == 1:
        return channels[0]
    return np.stack(channels, axis=-1).reshape(*channels[0].shape[:-1], -1)


def channel_labels(names: Sequence[str]) -> list[str]:
    """Return what channels are called in reports and messages: by their names, or else by their numbers."""
    return [name or (f"channel {index}" if len(names) > 1 else "") for index, name in enumerate(names)]


def labelled(title: str, channel: str) -> str:
    """Name a slice by what its section is called and by its channel, where that has a name."""
    return f"{title}, {channel}" if channel else title
