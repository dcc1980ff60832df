"""Checks that readers of several formats share."""

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
"""Maximum number of voxels read at once: 8 GiB in double precision."""
MAX_BYTES_PER_BYTE = 4096
"""Maximum compression ratio of image files; a header that claims more is wrong."""
SMALLEST_DETERMINANT = 1e-3
"""Minimum determinant of the unit vectors along the axes: 1 for orthogonal axes, 0 for coplanar ones."""
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
    """Check that a file exists.

    Raises:
        UserError: `path` is a folder or does not exist.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name the file.")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")


def read_gzip(path: Path, size: int) -> bytearray:
    """Read the first `size` bytes of a gzip file and verify its checksum.

    A reader that stops at the last voxel would not detect changed bytes.

    Raises:
        EOFError: the content is shorter.
        gzip.BadGzipFile: the checksum does not match.
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
    """Check that a shape is plausible and fits into memory, before anything is allocated.

    Args:
        path: for the message.
        shape: shape according to the header.
        voxel_bytes: bytes per voxel.
        file_bytes: size of the file in bytes.

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
            "read at once. Is its header right? If it is, split the image."
        )


def check_finite(path: Path, data: NDArray[np.floating]) -> None:
    """Check that no voxel is infinite.

    NaN is allowed: SPM and FSL write it as background.

    Raises:
        UserError: a voxel is infinite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        # Any infinite or NaN voxel makes the sum non-finite, and a sum allocates no array.
        if np.isfinite(np.sum(data)):
            return
    infinite = int(np.count_nonzero(np.isinf(data)))
    if infinite:
        raise UserError(f"{path}: {infinite} voxels are infinite; replace them before you use the volume.")


def check_affine(path: Path, affine: NDArray[np.floating]) -> None:
    """Check that an affine, shape (4, 4), is finite and invertible.

    Raises:
        UserError: a value is NaN or infinite, a voxel size is zero, or the axes lie in one plane.
    """
    if not np.all(np.isfinite(affine)):
        raise UserError(f"{path}: the affine has values that are NaN or infinite; correct the header.")
    spacing: NDArray[np.float64] = np.linalg.norm(affine[:3, :3], axis=0)
    check_spacing(path, spacing)
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < SMALLEST_DETERMINANT:
        raise UserError(f"{path}: the affine is singular, so the axes do not span a volume; correct the header.")


def check_spacing(path: Path, spacing: NDArray[np.floating]) -> None:
    """Check that voxel sizes are finite and positive.

    Raises:
        UserError: one is zero, negative, NaN or infinite.
    """
    if not (np.all(np.isfinite(spacing)) and np.all(spacing > 0)):
        raise UserError(f"{path}: the voxel size is {[float(side) for side in spacing]}; each must be above zero.")


def chosen_frame(path: Path, count: int, frame: int | None) -> int:
    """Return the index of the frame to read; a single frame need not be named.

    Args:
        path: for the message.
        count: number of frames.
        frame: the requested frame.

    Raises:
        UserError: there is no such frame, or there are several and none was requested.
    """
    if frame is None and count == 1:
        return 0
    if frame is None:
        raise UserError(f"{path}: contains {count} frames; choose one with frame: 0 to {count - 1}.")
    if not 0 <= frame < count:
        valid = f"0 to {count - 1}" if count > 1 else "0"
        raise UserError(f"{path}: frame {frame} is out of range; valid: {valid}.")
    return frame


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, or its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
