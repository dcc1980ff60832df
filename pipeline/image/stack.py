"""The slices of an image: how channels, sections and 2-D pictures of several sizes are stacked as one array.

Channels and colours lie between the slices, so that code that works slice by slice restores all of them. An image of
two sections with the colours red, green and blue is an array of six slices: red, green and blue of the first section,
then those of the second. The affine and the key `slices` of the configuration count sections. In a collection of
pictures, a coloured picture has three slices and a grey one has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.image.channels import COLOURS, colour_slices

PLANE = "picture"
"""Plane of micrographs and pictures: how they lay in the head is unknown."""
SLICE_AXIS = 2
"""Slices of micrographs and pictures follow each other along z."""
UNIT = "pixel"


@dataclass(frozen=True)
class Stack:
    """What the slices of an array show.

    Attributes:
        channels: names of the channels of each section; empty for images without channels, and for collections.
        sections: section that each slice belongs to, rising from 0; None if every slice is a section of its own.
        names: name of each slice; empty if they have none.
        classes: class of each slice, the folder of its picture; empty unless the slices are a collection of pictures.
        sizes: columns and rows of each slice's picture; empty as `classes`.
    """

    channels: tuple[str, ...] = ()
    sections: tuple[int, ...] | None = None
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()

    @property
    def is_collection(self) -> bool:
        """Whether the slices are pictures of a collection, which have nothing to do with each other."""
        return bool(self.sizes)

    @property
    def channel_count(self) -> int:
        """Number of channels of each section; 1 for collections, whose pictures may differ."""
        return max(1, len(self.channels))

    @property
    def has_channels(self) -> bool:
        """Whether a section has several channels, so that neighbouring slices show the same place."""
        return self.sections is not None

    @property
    def are_neighbours(self) -> bool:
        """Whether consecutive slices show neighbouring places: neither channels nor pictures of a collection."""
        return not (self.has_channels or self.is_collection)

    @property
    def colours(self) -> int:
        """Number of slices that make one picture: 3 if all sections have red, green and blue, else 1.

        It is 1 for grey images, for channels of another meaning, and for collections with some grey pictures.
        """
        if self.sections is None:
            return 1
        named = self.is_collection or self.channels == COLOURS
        _, counts = np.unique(self.sections, return_counts=True)
        return len(COLOURS) if named and set(counts.tolist()) == {len(COLOURS)} else 1

    def one_a_picture(self, slices: Iterable[int]) -> list[int]:
        """Return one slice for each picture: the green one of coloured pictures, all slices of grey ones."""
        colours = self.colours
        return list(dict.fromkeys(colour_slices(index, colours)[colours // 2] for index in slices))

    def sections_of(self, count: int) -> NDArray[np.int64]:
        """Return the section of each of the `count` slices of an array, rising from 0."""
        return np.arange(count) if self.sections is None else np.asarray(self.sections)

    def section_of(self, index: int) -> int:
        """Return the section that a slice of the array belongs to."""
        return index if self.sections is None else self.sections[index]

    def by_section(self, slices: Iterable[int]) -> list[list[int]]:
        """Group slices of the array by the section that they show."""
        found: dict[int, list[int]] = {}
        for index in slices:
            found.setdefault(self.section_of(index), []).append(index)
        return list(found.values())

    def count_sections(self, slices: Iterable[int]) -> int:
        """Return the number of sections that some slices of the array belong to."""
        return len(self.by_section(slices))

    def middle_slice(self, section: int) -> int:
        """Return the slice of the array with the middle channel of a section: green of colours."""
        if self.sections is None:
            return section
        found = np.flatnonzero(np.asarray(self.sections) == section)
        return int(found[len(found) // 2])


def lay(picture: NDArray) -> NDArray:
    """Turn a picture (rows, columns) into a slice (x, y) that the report draws as the picture was."""
    return picture[::-1, ::-1].T


def upright(one_slice: NDArray) -> NDArray:
    """Turn a slice (x, y) back into a picture (rows, columns); the inverse of `lay`."""
    return one_slice.T[::-1, ::-1]


def lay_sections(sections: NDArray) -> NDArray:
    """Turn sections (section, rows, columns) into an array (x, y, section) of slices that lie as by `lay`."""
    return sections[:, ::-1, ::-1].T


def upright_sections(data: NDArray) -> NDArray:
    """Turn an array (x, y, section) back into sections (section, rows, columns); the inverse of `lay_sections`."""
    return data.T[:, ::-1, ::-1]


def stacked(pictures: Sequence[NDArray]) -> NDArray:
    """Stack pictures into one array (x, y, slice), padded with zeros at the high ends of x and y.

    Args:
        pictures: of one dtype, shape (rows, columns) each.
    """
    rows, columns = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    result = np.zeros((columns, rows, len(pictures)), dtype=pictures[0].dtype)
    for index, picture in enumerate(pictures):
        result[: picture.shape[1], : picture.shape[0], index] = lay(picture)
    return result


def one_slice(data: NDArray, index: int, size: Sequence[int]) -> NDArray:
    """Return a picture (rows, columns) of a stack; `size` is its number of columns and rows."""
    return upright(data[: size[0], : size[1], index])
