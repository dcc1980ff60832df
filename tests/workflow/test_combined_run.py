"""A run whose test volume is combined from three scans of one head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

from pipeline.formats.io.container import read_image
from pipeline.image.image import Image
from tests.stacks import SIDE, THICK, synthetic_head, write_stacks
from tests.workflow.project import jobs, snakemake

NAMES = ("axial", "coronal", "sagittal")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a project with three stacks of a person, the first with a BIDS sidecar, and one volume of another."""
    folder = tmp_path_factory.mktemp("several")
    write_stacks(folder)
    (folder / "axial.json").write_text(json.dumps({"SliceThickness": 3.8}))
    head = 1000 * synthetic_head(5) + np.random.default_rng(0).random((SIDE,) * 3)
    nib.Nifti1Image(head.astype(np.float32), np.eye(4)).to_filename(folder / "one.nii.gz")
    values = {
        "run": "several",
        "volumes": [
            {"id": "three", "subject": "A", "split": "test", "sources": list(NAMES)},
            {"id": "one", "subject": "B", "split": "val", "source": "one"},
        ],
        "sources": {name: {"kind": "local", "path": f"{name}.nii.gz"} for name in (*NAMES, "one")},
        "methods": [],
        "infer": {"deliver": "bspline3"},
        "degrade": {"factor": 2.5},
        "combine": {"method": "least_squares"},
    }
    (folder / "several.yaml").write_text(yaml.safe_dump(values))
    return folder


def run(folder: Path, *arguments: str) -> Any:
    return snakemake(folder, *arguments, "--configfile", folder / "several.yaml")


def test_one_job_combines_the_scans_of_one_head(folder):
    planned = jobs(run(folder, "--dry-run"))
    assert (planned["combine"], planned["download"], planned["extract"]) == (1, 4, 2)


@pytest.mark.long
def test_the_combined_volume_is_a_volume_of_the_run(folder):
    results = folder / "results/several"
    outcome = run(folder, "results/several/provenance.json")
    assert outcome.returncode == 0, outcome.stderr
    image = read_image(results / "extracted/three.safetensors", Image)
    assert image.data.shape == (SIDE,) * 3
    np.testing.assert_allclose(image.spacing, 1, atol=1e-5)
    voxels = np.asarray(nib.load(results / "combined/three.nii.gz").dataobj)  # pyright: ignore[reportAttributeAccessIssue]
    assert voxels.min() >= 0, "magnitudes have no sign"
    head = 1000 * synthetic_head()
    nearest = np.asarray(nib.load(folder / "axial.nii.gz").dataobj).repeat(THICK, axis=2)  # pyright: ignore[reportAttributeAccessIssue]
    assert np.std(voxels - head) < 0.5 * np.std(nearest - head)

    record = json.loads((results / "combined/three.json").read_text())
    thickness = [(scan["thickness_mm"], scan["thickness_source"]) for scan in record["scans"]]
    assert thickness[0] == (3.8, "sidecar") and thickness[1][1] != "sidecar"
    assert record["settings"]["method"] == "least_squares"
    page = (results / "reports/three.combined.html").read_text(encoding="utf-8")
    assert 'href="index.html"' in page and "sagittal.nii.gz" in page
    provenance = json.loads((results / "provenance.json").read_text())
    assert {source["name"]: source["used_for"] for source in provenance["sources"]} == {
        **{name: ["three"] for name in NAMES},
        "one": ["one"],
    }
