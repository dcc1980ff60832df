"""Channels and colours, interleaved along the slice axis of an array (see `pipeline.image.stack`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COLOURS = ("red", "green", "blue")


def colour_slices(index: int, colours: int) -> range:
    """Return the indices of the slices of the colour picture that contains a slice; each has `colours` slices."""
    first = index - index % colours
    return range(first, first + colours)


def split_channels(data: NDArray, count: int) -> list[NDArray]:
    """Split an array (x, y, slice) into its channels: views of shape (x, y, section)."""
    return [data[..., channel::count] for channel in range(count)] if count > 1 else [data]


def interleave_channels(channels: Sequence[NDArray]) -> NDArray:
    """Interleave channels; the inverse of `split_channels`."""
    if len(channels) == 1:
        return channels[0]
    return np.stack(channels, axis=-1).reshape(*channels[0].shape[:-1], -1)


def channel_labels(names: Sequence[str]) -> list[str]:
    """Return the names of channels for reports and messages; channels without a name are numbered."""
    return [name or (f"channel {index}" if len(names) > 1 else "") for index, name in enumerate(names)]


def slice_title(title: str, channel: str) -> str:
    """Return the title of a slice: the title of its section and, if it has a name, its channel."""
    return f"{title}, {channel}" if channel else title
