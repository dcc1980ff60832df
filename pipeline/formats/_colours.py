"""Select channels of a file, and the colours of RGB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.image.channels import COLOURS


def chosen_channel(path: Path, count: int, names: Sequence[str], channel: int | str) -> int:
    """Return the index of a channel by number or name.

    Args:
        path: for the message.
        count: number of channels.
        names: names of the channels; may be fewer.
        channel: number or name.

    Raises:
        UserError: there is no such channel.
    """
    matching = [index for index, name in enumerate(names[:count]) if name == channel]
    if matching:
        return matching[0]
    if isinstance(channel, int) and 0 <= channel < count:
        return channel
    there = ", ".join(f"{index} ({names[index]!r})" if index < len(names) else str(index) for index in range(count))
    raise UserError(f"{path}: there is no channel {channel!r}; it contains {there}.")


def wanted_channels(path: Path, count: int, names: Sequence[str], channel: int | str | None) -> list[int]:
    """Return the indices of the channels to read: all by default, else as `chosen_channel`."""
    return list(range(count)) if channel is None else [chosen_channel(path, count, names, channel)]


def names_of(wanted: Sequence[int], names: Sequence[str]) -> list[str]:
    """Return the names of channels; "" for channels without a name."""
    return [names[index] if index < len(names) else "" for index in wanted]


def colours_of(
    path: Path, pictures: NDArray, channel: int | str | None, keep: bool = False
) -> tuple[NDArray, list[str]]:
    """Return the colours of RGB pictures, or one of them; a single channel if all colours are equal.

    Args:
        path: for the message.
        pictures: shape (sections, rows, columns, samples); a fourth sample, the opacity, is left out.
        channel: red, green or blue, or its number; None for all.
        keep: whether to return three colours for grey pictures too.

    Returns:
        Shape (sections, channels, rows, columns), and the names of the colours; one "" for grey.

    Raises:
        UserError: there is no such colour.
    """
    colours = np.moveaxis(pictures[..., : len(COLOURS)], -1, 1)
    has_three = colours.shape[1] == len(COLOURS)
    grey = not has_three or (not keep and bool(np.all(colours[:, :1] == colours)))
    if grey and channel is None:
        return colours[:, :1], [""]
    wanted = wanted_channels(path, colours.shape[1], COLOURS, channel)
    return colours[:, wanted], names_of(wanted, COLOURS)
