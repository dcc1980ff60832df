"""Check that DICOM images are single grey slices with a known position in space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.formats._dicom_files import kind_of

GEOMETRY = ("PixelSpacing", "ImageOrientationPatient")
DEPTHS = (8, 16, 32)
"""Known values of BitsAllocated."""
COSINE_TOLERANCE = 1e-2
"""Maximum deviation of direction cosines from orthonormality: some are written with two digits."""
COLOURS = {"PALETTE COLOR": "numbers of colours in a palette", "RGB": "red, green and blue"}
MOSAICS = (("SIEMENS MR HEADER", 0x0019, 0x0A), ("Image Private Header", 0x0065, 0x50))
"""Private elements with the number of tiles of a mosaic: Siemens, United Imaging."""
CONVERT = "convert it to NIfTI with dcm2niix"


def check_kind(path: Path, name: str, header: Any) -> None:
    """Check that an image is a grey slice with a position in space.

    Args:
        path: folder, archive or file, for the message.
        name: of the file inside it.
        header: the dataset without pixels.

    Raises:
        UserError: the image is a mosaic, has several frames, is coloured, has values that only a table explains, has
            pixels of an unknown layout, or does not state its position.
    """
    where = f"{path}: {name!r}"
    _check_single(where, header)
    kind = header.get("PhotometricInterpretation")
    if header.get("SamplesPerPixel", 1) != 1 or kind not in ("MONOCHROME1", "MONOCHROME2"):
        meaning = f": {COLOURS[kind]}" if kind in COLOURS else ""
        raise UserError(
            f"{where} is coloured ({kind}{meaning}); only grey images can be restored. Export the grey images "
            "(MONOCHROME2) that it was made from."
        )
    if header.get("ModalityLUTSequence"):
        raise UserError(
            f"{where} gives its values by a table (ModalityLUTSequence), not by a slope and an intercept; apply the "
            "table and export the images again."
        )
    _check_bits(where, header)
    _check_geometry(where, header)


def _check_single(where: str, header: Any) -> None:
    """Check that an image has a single slice and frame."""
    tiles = _tiles(header)
    if "MOSAIC" in [str(value).strip().upper() for value in _values(header.get("ImageType"))] or tiles > 1:
        count = f" of {tiles} slices" if tiles > 1 else ""
        raise UserError(f"{where} is a mosaic{count}: slices side by side in one picture; {CONVERT} first.")
    frames = int(header.get("NumberOfFrames") or 1)
    functional = "PerFrameFunctionalGroupsSequence" in header
    if frames > 1 or functional:
        what = "an enhanced multi-frame file, " if functional else ""
        count = f"{frames} frame{'s' if frames > 1 else ''}"
        raise UserError(
            f"{where} is {what}{kind_of(header)}, and contains {count}; {CONVERT}, or to DICOM with one file per "
            "slice, first."
        )


def _tiles(header: Any) -> int:
    """Return the number of mosaic tiles that private elements state; 0 if there are none."""
    for creator, group, element in MOSAICS:
        try:
            return int(header.private_block(group, creator)[element].value)
        except (KeyError, TypeError, ValueError):
            continue
    return 0


def _values(element: Any) -> list[Any]:
    """Return the values of an element that may have none, one or several."""
    if element is None or isinstance(element, str):
        return [element] if element else []
    return list(element)


def _check_bits(where: str, header: Any) -> None:
    """Check that the pixel layout is known and consistent (PS3.5, 8.1.1)."""
    keys = ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
    allocated, stored, high, signed = (header.get(key) for key in keys)
    fits = allocated in DEPTHS and isinstance(stored, int) and 1 <= stored <= allocated
    if not fits or (high is not None and high != stored - 1) or signed not in (0, 1):
        found = ", ".join(f"{key} {header.get(key, 'missing')}" for key in keys)
        raise UserError(
            f"{where} has pixels of {found}; supported are BitsAllocated {', '.join(map(str, DEPTHS))}, BitsStored up "
            "to that, HighBit one less than BitsStored, PixelRepresentation 0 or 1. Export it again."
        )


def _check_geometry(where: str, header: Any) -> None:
    """Check that an image states its position, and that its axes are orthonormal."""
    for key in (*GEOMETRY, "ImagePositionPatient"):
        if not header.get(key):
            raise UserError(f"{where} has no {key}, so the position of its voxels is unknown; export it again.")
    cosines = np.array(header.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    if not np.allclose(cosines @ cosines.T, np.eye(2), rtol=0, atol=COSINE_TOLERANCE):
        raise UserError(
            f"{where} has the ImageOrientationPatient {cosines.ravel().tolist()}: no two unit vectors at right angles. "
            "Export it again."
        )
    spacing = [float(value) for value in header.PixelSpacing]
    if len(spacing) != len(cosines) or not (np.all(np.isfinite(spacing)) and min(spacing) > 0):
        raise UserError(f"{where} has the PixelSpacing {spacing}; two sizes above zero are needed. Export it again.")
