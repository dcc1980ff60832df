"""A DICOM series, a micrograph and a stack of pictures through the real workflow: each comes back in its own family."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import tifffile
import torch
import yaml
from safetensors.torch import save_file

from pipeline.models.generator import Generator, Shape
from tests.helpers import synthetic_head
from tests.image_files import png, write_ome, write_series
from tests.workflow.project import jobs, snakemake

RESTORED = ("--until", "interpolate")
"""Restores the volumes with the baselines, which needs no training."""
SHAPE = (48, 44, 4)


def configuration() -> dict[str, Any]:
    """Return a configuration whose deliverable is a baseline, so that nothing needs to be trained for it."""
    network = {"blocks": 1, "features": 8, "growth": 4, "trained_on": "nothing, random numbers"}
    return {
        "run": "families",
        "sources": {
            "scanner": {"kind": "local", "path": "my scan/", "format": "dicom"},
            "microscope": {"kind": "local", "path": "field.ome.tif"},
            "sections": {"kind": "local", "path": "sections", "format": "picture_folder"},
            "small": {"kind": "local", "path": "small.safetensors", "network": network},
        },
        "volumes": [
            {"id": "stack", "subject": "M1", "split": "train", "source": "sections", "voxel_um": [0.5, 0.5, 1]},
            {"id": "scan", "subject": "P1", "split": "val", "source": "scanner", "series": "T1 MPRAGE"},
            {"id": "field", "subject": "M2", "split": "test", "source": "microscope", "channel": "GFP"},
        ],
        "train": {"initial_weights": "small"},
        "infer": {"deliver": "bicubic"},
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("families")
    heads = [synthetic_head(SHAPE, seed).astype(np.uint16) for seed in range(3)]
    write_series(folder / "my scan/deep", heads[0], "sagittal")
    write_series(folder / "my scan/other", heads[1], SeriesInstanceUID="1.2.9", SeriesDescription="T2")
    write_ome(folder / "field.ome.tif", np.stack([heads[1].T, heads[2].T]), "CZYX")
    (folder / "sections").mkdir()
    for index in range(SHAPE[2]):
        (folder / f"sections/{index}.png").write_bytes(png(np.ascontiguousarray(heads[1][:, :, index].T)))
    torch.manual_seed(0)
    network = Generator(Shape(blocks=1, features=8, growth=4, channels=3)).network
    save_file(network.state_dict(), folder / "small.safetensors")
    (folder / "families.yaml").write_text(yaml.safe_dump(configuration()))
    result = snakemake(folder, *RESTORED, "--configfile", folder / "families.yaml")
    assert result.returncode == 0, result.stderr
    return folder


def restored_file(folder: Path, name: str) -> Path:
    """Return the result of the delivered method for a volume."""
    (found,) = folder.glob(f"results/families/restored/*/bicubic/{name}")
    return found


def test_a_dicom_series_comes_back_as_one(finished: Path) -> None:
    with zipfile.ZipFile(restored_file(finished, "scan.dicom.zip")) as archive:
        names = archive.namelist()
        slices = [pydicom.dcmread(archive.open(name)) for name in names]  # pyright: ignore[reportArgumentType]
    assert len(slices) == SHAPE[2] and slices[0].SeriesDescription == "T1 MPRAGE BrainSR"
    assert slices[0].PixelSpacing == [0.75, 0.5] and slices[0].SliceThickness == 2.0
    original = pydicom.dcmread(finished / "my scan/deep/IM0002")
    corner = [float(value) for value in slices[2].ImagePositionPatient]
    assert corner == pytest.approx([float(value) for value in original.ImagePositionPatient], abs=1e-6)
    restored = slices[2].pixel_array.astype(float)
    assert np.corrcoef(restored.ravel(), original.pixel_array.astype(float).ravel())[0, 1] > 0.7


def test_a_micrograph_comes_back_with_its_pixel_size_and_channel(finished: Path) -> None:
    with tifffile.TiffFile(restored_file(finished, "field.ome.tiff")) as file:
        text = str(file.ome_metadata)
        restored = file.asarray()
    assert 'PhysicalSizeX="0.25"' in text and 'Name="GFP"' in text
    reference = synthetic_head(SHAPE, 2).astype(np.uint16).T
    assert restored.shape == reference.shape and restored.dtype == np.uint16
    assert np.corrcoef(restored.ravel().astype(float), reference.ravel().astype(float))[0, 1] > 0.8


def test_a_second_run_does_nothing_and_a_new_slice_is_noticed(finished: Path) -> None:
    asked = (*RESTORED, "--dry-run", "--configfile", finished / "families.yaml")
    assert jobs(snakemake(finished, *asked)) == {}
    (finished / "my scan/deep/new").write_bytes((finished / "my scan/deep/IM0000").read_bytes())
    assert {"download", "extract", "interpolate"} <= set(jobs(snakemake(finished, *asked)))


def test_everything_of_a_run_is_planned(finished: Path) -> None:
    result = snakemake(finished, "--configfile", finished / "families.yaml", "--dry-run", "--forceall")
    assert result.returncode == 0, result.stderr
    assert jobs(result)["publish"] >= 1
