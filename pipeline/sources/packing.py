"""Write zip archives, and pack the images of a folder into one."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import UserError
from pipeline.sources.bundle import PICTURES, is_picture, listed, opened, other_files

FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""First date of the zip format; archives of the same files always have the same bytes."""
PERMISSIONS = 0o644 << 16
"""Permissions of a file in a zip archive: its owner may write it, all may read it."""
ZARR_FILES = (".zgroup", ".zattrs", "zarr.json")
"""Metadata files, one of which is at the top level of every OME-Zarr."""

logger = logging.getLogger(__name__)


def write_archive(path: Path, files: Iterable[tuple[str, bytes]], *, compressed: bool) -> None:
    """Write a zip archive; the same files always give the same bytes.

    Args:
        path: the archive; see `pipeline.files.replacing` for atomic writes.
        files: names and contents.
        compressed: whether to compress them.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name, FIRST_DAY)
            entry.external_attr = PERMISSIONS
            entry.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
            archive.writestr(entry, content)


def pack(folder: Path, output: Path) -> None:
    """Pack the images of a folder and its subfolders into a zip archive, without compression.

    An OME-Zarr is packed completely; from other folders, only pictures and DICOM files are packed.

    Raises:
        UserError: there are no images, a file cannot be read, or a link points outside the folder.
    """
    with opened(folder) as bundle:
        is_zarr = any(name in ZARR_FILES for name in bundle.sizes)
        chosen = [name for name in bundle.sizes if is_zarr or is_picture(name) or bundle.is_dicom(name)]
        if not chosen:
            raise UserError(
                f"{folder} contains no pictures ({', '.join(PICTURES)}) or DICOM files; "
                "choose a file, or a folder of these."
            )
        left_out = other_files(sorted(bundle.sizes.keys() - set(chosen)))
        if left_out:
            logger.warning("%s: ignoring files that are neither PNG, JPEG nor DICOM: %s", folder, listed(left_out))
        odd = next((name for name in chosen if not name.isprintable()), None)
        if odd is not None:
            raise UserError(f"{folder}: the name {odd!r} contains non-printable characters; rename the file.")
        write_archive(output, ((name, bundle.read(name)) for name in chosen), compressed=False)
