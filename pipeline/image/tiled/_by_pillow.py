"""Tiles and strips in compressions for which tifffile lacks a package (LZW above all), unpacked by Pillow."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

CLASSIC_TIFF = 42
LONG = 4
"""Number of the tag type for whole numbers of 32 bits (TIFF 6.0, section 2)."""
HEADER_BYTES, COUNT_BYTES, ENTRY_BYTES = 8, 2, 12
MIN_IS_BLACK = 1


def unpacked(page: Any, data: bytes, rows: int, columns: int) -> NDArray:
    """Unpacks a tile or strip of a grey page.

    Args:
        page: of tifffile, to which the piece belongs.
        data: the piece as it stands in the file.
        rows: of the piece.
        columns: of the piece.

    Returns:
        Shape (1, rows, columns, 1).

    Raises:
        ValueError: Pillow cannot unpack it either.
    """
    file = _as_file(page, data, rows, columns)
    try:
        with PillowImage.open(io.BytesIO(file), formats=("TIFF",)) as picture:
            pixels = np.asarray(picture)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"its compression {page.compression.name} cannot be unpacked; save it with zlib") from error
    if pixels.dtype.newbyteorder("=") != page.dtype.newbyteorder("=") or pixels.shape != (rows, columns):
        raise ValueError(f"its compression {page.compression.name} is not known for these pixels; save it with zlib")
    return pixels[None, :, :, None]


def _as_file(page: Any, data: bytes, rows: int, columns: int) -> bytes:
    """Puts a piece into a TIFF file of its own, as its only strip."""
    tags = {
        256: columns,
        257: rows,
        258: page.bitspersample,
        259: int(page.compression),
        262: MIN_IS_BLACK,
        273: 0,  # where the strip begins: see below
        277: 1,  # samples of a pixel
        278: rows,  # of the strip
        279: len(data),
        317: int(page.predictor),
        339: int(page.sampleformat),
    }
    tags[273] = HEADER_BYTES + COUNT_BYTES + ENTRY_BYTES * len(tags) + LONG
    order = page.parent.byteorder
    letters = b"II" if order == "<" else b"MM"
    header = letters + struct.pack(f"{order}HI", CLASSIC_TIFF, HEADER_BYTES)
    entries = b"".join(struct.pack(f"{order}HHII", tag, LONG, 1, value) for tag, value in tags.items())
    return header + struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0) + data
