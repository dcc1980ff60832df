"""What readers of several formats check before they trust a file."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.image.header import FileHeader
from pipeline.image.image import Image

MAX_VOXELS = 2**30
"""Voxels that are read at once: 8 GiB in double precision."""
MAX_BYTES_PER_BYTE = 4096
"""No compression of image files makes more of a byte; a header that claims more is wrong."""
SMALLEST_DETERMINANT = 1e-3
"""Of the unit vectors along the axes: 1 where they are at right angles, 0 where they lie in one plane."""
CHUNK_BYTES = 1 << 20

Header = TypeVar("Header", bound=FileHeader)


def header_of(image: Image, kind: type[Header]) -> Header:
    """Return the file header of an image, which must be of the given class.

    Raises:
        UserError: the image was read from a file of another format.
    """
    if not isinstance(image.header, kind):
        raise UserError(f"an image that was read as {image.header.format or 'an array'} has no {kind.__name__}.")
    return image.header


def check_is_file(path: Path) -> None:
    """Refuse what is no file.

    Raises:
        UserError: there is a folder, or nothing.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name the file.")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")


def read_gzip(path: Path, size: int) -> bytearray:
    """Read the first bytes of what a file holds, and on to its end, where the checksum stands.

    A reader that stops with the last voxel misses that bytes were changed.

    Raises:
        EOFError: there are fewer bytes.
        gzip.BadGzipFile: the checksum is another one.
    """
    content, place = bytearray(size), 0
    with gzip.open(path) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            kept = chunk[: size - place]
            content[place : place + len(kept)] = kept
            place += len(kept)
    if place < size:
        raise EOFError(f"{place} of {size} bytes")
    return content


def check_size(path: Path, shape: tuple[int, ...], voxel_bytes: int, file_bytes: int) -> None:
    """Refuse sizes that cannot be true or that do not fit into memory, before anything is allocated.

    Args:
        path: for the message.
        shape: sizes that the header claims.
        voxel_bytes: bytes of a voxel.
        file_bytes: bytes that the file has.

    Raises:
        UserError: a size is below one, or there are too many voxels.
    """
    count = 1
    for size in shape:
        count *= int(size)
    if min(shape, default=1) < 1:
        raise UserError(f"{path}: is empty, its shape is {tuple(shape)}.")
    if count > MAX_VOXELS or count * voxel_bytes > MAX_BYTES_PER_BYTE * max(file_bytes, 1):
        raise UserError(
            f"{path}: claims {count} voxels of shape {tuple(shape)} in {file_bytes} bytes; at most {MAX_VOXELS} are "
            "read at once. Is its header right? If it is, cut the image into smaller ones."
        )


def check_finite(path: Path, data: NDArray[np.floating]) -> None:
    """Refuse infinite voxels.

    NaN passes: SPM and FSL write it as background, and whoever uses the image knows where its background may be.

    Raises:
        UserError: a voxel is infinite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(data)):  # one such voxel makes the sum none, too, and a sum needs no further array
            return
    infinite = int(np.count_nonzero(np.isinf(data)))
    if infinite:
        raise UserError(f"{path}: {infinite} voxels are infinite; replace them before you use the volume.")


def check_affine(path: Path, affine: NDArray[np.floating]) -> None:
    """Refuse affines, shape (4, 4), that put no volume into space.

    Raises:
        UserError: a value is NaN or infinite, a voxel size is zero, or the axes lie in one plane.
    """
    if not np.all(np.isfinite(affine)):
        raise UserError(f"{path}: the affine has values that are NaN or infinite; mend the header.")
    spacing: NDArray[np.float64] = np.linalg.norm(affine[:3, :3], axis=0)
    check_spacing(path, spacing)
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < SMALLEST_DETERMINANT:
        raise UserError(f"{path}: the affine is singular, so the axes do not span a volume; mend the header.")


def check_spacing(path: Path, spacing: NDArray[np.floating]) -> None:
    """Refuse voxel sizes that are not above zero.

    Raises:
        UserError: one is zero, negative, NaN or infinite.
    """
    if not (np.all(np.isfinite(spacing)) and np.all(spacing > 0)):
        raise UserError(f"{path}: the voxel size is {[float(side) for side in spacing]}; each must be above zero.")


def chosen_frame(path: Path, count: int, frame: int | None) -> int:
    """Return which of the frames of a file is meant; the only one needs not be named.

    Args:
        path: for the message.
        count: how many frames there are.
        frame: the one that was asked for.

    Raises:
        UserError: there is no such frame, or there are several and none was asked for.
    """
    if frame is None and count == 1:
        return 0
    if frame is None:
        raise UserError(f"{path}: holds {count} frames; choose one with frame: 0 to {count - 1}.")
    if not 0 <= frame < count:
        there = f"frames 0 to {count - 1}" if count > 1 else "one frame, number 0"
        raise UserError(f"{path}: there is no frame {frame}; it holds {there}.")
    return frame


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, or its kind where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
