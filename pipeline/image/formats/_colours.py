"""One channel out of several, and one of red, green and blue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

COLOURS = ("red", "green", "blue")


def chosen_channel(path: Path, count: int, names: Sequence[str], channel: int | str | None) -> int:
    """Returns which of the channels of a file is meant; the only one needs not be named.

    Args:
        path: for the message.
        count: how many channels there are.
        names: of the channels, as far as the file names them.
        channel: number or name of the one that was asked for.

    Raises:
        UserError: there is no such channel, or there are several and none was asked for.
    """
    there = ", ".join(f"{index} ({names[index]!r})" if index < len(names) else str(index) for index in range(count))
    if channel is None and count == 1:
        return 0
    if channel is None:
        raise UserError(f"{path}: holds {count} channels; choose one with channel: {there}.")
    matching = [index for index, name in enumerate(names[:count]) if name == channel]
    if matching:
        return matching[0]
    if isinstance(channel, int) and 0 <= channel < count:
        return channel
    raise UserError(f"{path}: there is no channel {channel!r}; it holds {there}.")


def one_colour(path: Path, pictures: NDArray, channel: int | str | None) -> tuple[NDArray, str]:
    """Returns one colour of RGB pictures; of pictures that are grey though stored as RGB, the grey values.

    Args:
        path: for the message.
        pictures: shape (slices, rows, columns, samples); a fourth sample, the opacity, is left out.
        channel: red, green or blue, or its number; None for pictures that are grey.

    Returns:
        Shape (slices, rows, columns), and the name of the colour, "" for grey.

    Raises:
        UserError: the pictures are coloured and none of their colours was chosen.
    """
    colours = pictures[..., : len(COLOURS)]
    grey = colours.shape[-1] < len(COLOURS) or bool(np.all(colours[..., :1] == colours))
    if grey and channel is None:
        return colours[..., 0], ""
    if channel is None:
        raise UserError(f"{path}: is coloured; choose what to restore with channel: red, green or blue.")
    index = chosen_channel(path, colours.shape[-1], COLOURS, channel)
    return colours[..., index], COLOURS[index]
