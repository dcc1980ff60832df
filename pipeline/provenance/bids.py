"""Descriptions of data sets of BIDS derivatives, and sidecars of their images (BIDS 1.10, common derivatives)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nibabel import nifti1
from nibabel.filebasedimages import ImageFileError
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_pascal

from pipeline import __version__
from pipeline.config.bids.names import NIFTI_EXTENSIONS
from pipeline.errors import UserError
from pipeline.files import read_json, write_text

BIDS_VERSION = "1.10.0"

MILLIMETRES = {"meter": 1e3, "mm": 1.0, "micron": 1e-3}
"""Millimetres per unit of length, by the name of the unit in nibabel; by convention, files without a unit use mm."""


class RestoredSidecar(BaseModel):
    """Sidecar of an image that `brainsr bids` restored; in the file, the keys are written like SkullStripped.

    Attributes:
        description: what the image is.
        sources: BIDS URI of the source image.
        skull_stripped: as stated for the source image; false if it is not, since BIDS requires the key.
        method: network or baseline.
        weights_sha256: SHA-256 of the weights; None for baselines.
        factors: enlargement along each axis of the canonical image.
        noise_sigma: noise level as a fraction of the intensity range.
        difference_beyond_noise: root mean square difference between the result, degraded to the grid of its input, and
            that input, beyond the noise, as a fraction of the intensity range.
        warnings: what was logged about the image.
        source_voxel_size_millimetres: voxel size of the source image along the axes of its file.
        voxel_size_millimetres: voxel size of the result along the axes of its file.
        version: of BrainSR.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_pascal, populate_by_name=True)

    description: str
    sources: tuple[str, ...]
    skull_stripped: bool = False
    method: str
    weights_sha256: str | None = None
    factors: tuple[float, ...]
    noise_sigma: float | None = None
    difference_beyond_noise: float | None = None
    warnings: tuple[str, ...] = ()
    source_voxel_size_millimetres: tuple[float, ...]
    voxel_size_millimetres: tuple[float, ...]
    version: str = __version__

    def write(self, path: Path) -> None:
        """Write the sidecar, whole or not at all; unknown values are left out."""
        write_text(path, self.model_dump_json(by_alias=True, exclude_none=True, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> RestoredSidecar:
        """Read a sidecar.

        Raises:
            UserError: the file is missing or damaged.
        """
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            raise UserError(f"{path}: is not the sidecar of a restored image. Delete it and run again.") from error


def size_of(image: Path, voxel_um: Sequence[float], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a sidecar that describe the voxel size of a result.

    Args:
        image: the result; for NIfTI, the size is read from the header.
        voxel_um: voxel size of a micrograph along x, y and z in micrometres; empty if unknown.
        raw: merged sidecars of the source image, which has the same grid as the result.

    Raises:
        UserError: the image cannot be read.
    """
    if image.name.endswith(NIFTI_EXTENSIONS):
        return {"VoxelSizeMillimetres": list(voxel_size_mm(image))}
    stated = raw.get("PixelSize")
    if not voxel_um:
        return {key: raw[key] for key in ("PixelSize", "PixelSizeUnits") if key in raw}
    count = len(stated) if isinstance(stated, list) else len(voxel_um)
    return {"PixelSize": list(voxel_um[:count]), "PixelSizeUnits": "um"}


def voxel_size_mm(image: Path) -> tuple[float, ...]:
    """Return the voxel size along the axes of a NIfTI file in mm.

    Raises:
        UserError: the image cannot be read.
    """
    try:
        header: Any = nifti1.load(image).header
    except (OSError, ImageFileError) as error:
        raise UserError(f"cannot read {image}: {error}. Delete it and run again.") from error
    unit = MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    return tuple(round(unit * float(length), 6) for length in header["pixdim"][1:4])


def data_set_description(
    name: str, generated: str, links: Mapping[str, str], raw: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the description of a data set of derivatives.

    Args:
        name: name of the data set.
        generated: what BrainSR did.
        links: location of every source data set, by its name in the sidecars.
        raw: descriptions of these data sets, by the same names.
    """
    licences = sorted({str(one["License"]) for one in raw.values() if "License" in one})
    return {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        **({"License": "; ".join(licences)} if licences else {}),
        "GeneratedBy": [{"Name": "BrainSR", "Version": __version__, "Description": generated}],
        "SourceDatasets": [_source(raw[name], place) for name, place in links.items()],
        "DatasetLinks": dict(links),
    }


def _source(raw: Mapping[str, Any], place: str) -> dict[str, str]:
    """Return the DOI of a data set if it has one, otherwise its location."""
    return {"DOI": str(raw["DatasetDOI"])} if "DatasetDOI" in raw else {"URL": place}


def place_of(root: str, output: Path) -> str:
    """Return the path of a data set relative to the folder of derivatives; an absolute path becomes a file URI."""
    path = Path(root)
    return path.as_uri() if path.is_absolute() else Path(os.path.relpath(path, output.parent)).as_posix()
