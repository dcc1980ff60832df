"""A BIDS folder through the real workflow, to a data set of derivatives that another program reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from ancpbids.pybids_compat import BIDSLayout
from safetensors.torch import save_file

from pipeline.formats.io.container import read_image
from pipeline.image.slice_profile import SliceProfile
from pipeline.models.generator import Generator, Shape
from tests.helpers import synthetic_head, write_nifti
from tests.workflow.project import jobs, snakemake

IMAGES = {
    "sub-01": "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-02": "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii",
    "sub-03": "sub-03/ses-b/anat/sub-03_ses-b_run-1_T1w.nii.gz",
}
DERIVATIVES = (
    "sub-02/ses-a/anat/sub-02_ses-a_desc-brainsr_T1w",
    "sub-03/ses-b/anat/sub-03_ses-b_run-1_desc-brainsr_T1w",
)


ERROR_MAP = DERIVATIVES[1].replace("desc-brainsr", "desc-uncertainty")


def configuration() -> dict[str, Any]:
    """Return a configuration whose deliverable is the untouched network: nothing needs to be trained for it."""
    network = {"blocks": 1, "features": 8, "growth": 4, "trained_on": "nothing, random numbers"}
    subjects = {"train": ["sub-01"], "val": ["sub-02"], "test": ["sub-03"]}
    return {
        "run": "heads",
        "volumes": [],
        "datasets": [{"kind": "bids", "path": "my heads", "subjects": subjects}],
        "sources": {"small": {"kind": "local", "path": "small.safetensors", "network": network}},
        "train": {"initial_weights": "small"},
        "infer": {"deliver": "pretrained", "noise_sigma": 0.02, "force": True},
        "degrade": {"factor": 2},
    }


def make_bids(root: Path) -> Path:
    """Write a BIDS folder of three small heads."""
    for seed, path in enumerate(IMAGES.values()):
        (root / path).parent.mkdir(parents=True)
        write_nifti(root / path, np.rint(synthetic_head((24, 28, 20), seed)).astype(np.int16))
    sidecar = {"SkullStripped": False, "EchoTime": 0.003, "SliceThickness": 0.9}
    (root / "sub-03/ses-b/anat/sub-03_ses-b_run-1_T1w.json").write_text(json.dumps(sidecar))
    facts = {"Name": "Three heads", "BIDSVersion": "1.8.0", "License": "CC0", "DatasetDOI": "doi:10.1/x"}
    (root / "dataset_description.json").write_text(json.dumps(facts))
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a project")
    make_bids(folder / "my heads")
    torch.manual_seed(0)
    network = Generator(Shape(blocks=1, features=8, growth=4, channels=3)).network
    save_file(network.state_dict(), folder / "small.safetensors")
    (folder / "heads.yaml").write_text(yaml.safe_dump(configuration()))
    result = snakemake(folder, *needed(), "--configfile", folder / "heads.yaml")
    assert result.returncode == 0, result.stderr
    return folder


def needed() -> list[str]:
    """The data set of derivatives."""
    return ["results/heads/bids"]


def test_another_program_reads_the_derivatives(finished: Path) -> None:
    layout: Any = BIDSLayout(str(finished / "results/heads/bids"))
    found = layout.get(suffix="T1w", desc="brainsr", extension=".nii.gz", return_type="filename")
    assert sorted(Path(path).name for path in found) == [f"{Path(name).name}.nii.gz" for name in DERIVATIVES]
    found = layout.get(suffix="T1w", desc="uncertainty", extension=".nii.gz", return_type="filename")
    expected = [f"{Path(name).name}.nii.gz".replace("desc-brainsr", "desc-uncertainty") for name in DERIVATIVES]
    assert sorted(Path(path).name for path in found) == expected
    assert sorted(layout.get_subjects()) == ["02", "03"]
    assert sorted(layout.get_sessions()) == ["a", "b"]


def test_the_derivatives_say_what_they_are(finished: Path) -> None:
    described = json.loads((finished / "results/heads/bids/dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"
    assert described["GeneratedBy"][0]["Name"] == "BrainSR" and described["GeneratedBy"][0]["Version"]
    assert described["SourceDatasets"] == [{"DOI": "doi:10.1/x"}]
    link = finished / "results/heads/bids" / described["DatasetLinks"]["raw"]
    assert link.resolve() == (finished / "my heads").resolve()
    told = json.loads((finished / f"results/heads/bids/{DERIVATIVES[1]}.json").read_text())
    assert told["Sources"] == [f"bids:raw:{IMAGES['sub-03']}"]
    assert told["SkullStripped"] is False and told["SliceThickness"] == 0.9 and "EchoTime" not in told
    unknown = json.loads((finished / f"results/heads/bids/{DERIVATIVES[0]}.json").read_text())
    assert unknown["SkullStripped"] is False and "SliceThickness" not in unknown
    extracted = read_image(finished / "results/heads/extracted/sub-03_ses-b_run-1_T1w.safetensors")
    assert extracted.slice_profile == SliceProfile(0.9, "gaussian", "sidecar", 2)
    assert told["Method"] == "pretrained" and 2 in told["Factors"]
    image: Any = nib.load(finished / f"results/heads/bids/{DERIVATIVES[1]}.nii.gz")
    np.testing.assert_allclose(told["VoxelSizeMillimetres"], image.header.get_zooms(), rtol=1e-6)


def test_a_derivative_is_the_deliverable(finished: Path) -> None:
    delivered = (finished / "results/heads/sr/sub-03_ses-b_run-1_T1w.nii.gz").read_bytes()
    assert (finished / f"results/heads/bids/{DERIVATIVES[1]}.nii.gz").read_bytes() == delivered


def test_error_maps_lie_on_the_grid_of_their_result_and_say_what_they_are(finished: Path) -> None:
    folder = finished / "results/heads"
    told = json.loads((folder / f"bids/{ERROR_MAP}.json").read_text())
    assert told["Description"].startswith("Half-width of the 90 % prediction interval") and told["Sources"] == [
        f"bids:raw:{IMAGES['sub-03']}"
    ]
    made, delivered = (nib.load(folder / f"bids/{name}.nii.gz") for name in (ERROR_MAP, DERIVATIVES[1]))
    one, other = (np.asanyarray(image.dataobj) for image in (made, delivered))  # pyright: ignore
    np.testing.assert_array_equal(made.affine, delivered.affine)  # pyright: ignore
    assert one.shape == other.shape and one.dtype == np.float32 and one.min() >= 0 and one.max() > 0
    map_file = folder / "sr/sub-03_ses-b_run-1_T1w.uncertainty.nii.gz"
    assert (folder / f"bids/{ERROR_MAP}.nii.gz").read_bytes() == map_file.read_bytes()


def test_the_records_of_the_download_name_the_data_set(finished: Path) -> None:
    path = finished / "resources/sub-03_ses-b_run-1_T1w/sub-03_ses-b_run-1_T1w.nii.gz.source.json"
    assert json.loads(path.read_text())["licence"] == "CC0"


def test_all_of_it_is_planned_and_a_second_run_does_nothing(finished: Path) -> None:
    planned = jobs(snakemake(finished, "--configfile", finished / "heads.yaml", "--dry-run", "--forceall"))
    assert (planned["derivatives"], planned["report_volumes"]) == (1, 2)
    result = snakemake(finished, *needed(), "--configfile", finished / "heads.yaml", "--dry-run")
    assert "Nothing to be done" in result.stdout + result.stderr
