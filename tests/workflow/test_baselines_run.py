"""A run without networks and without training volumes, by a factor that is no whole number."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

from pipeline.reporting.terminal import run_text
from tests.faults.tiny import Ended, make_tiny, run, serving
from tests.workflow.project import jobs, snakemake

pytestmark = pytest.mark.long
THICK = {
    "factor": 2.5,
    "direction": "through_plane",
    "operators": [{"name": "slice_profile"}, {"name": "decimation"}],
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    folder = make_tiny(tmp_path_factory.mktemp("baselines"))
    config = folder / "small.yaml"
    values = yaml.safe_load(config.read_text())
    values["volumes"] = [volume for volume in values["volumes"] if volume["split"] != "train"]
    values |= {"methods": [], "recipes": {}, "infer": {"deliver": "bspline3"}, "degrade": THICK}
    config.write_text(yaml.safe_dump(values))
    with serving() as server:
        return folder, run(server, folder)


def test_it_restores_every_volume_on_its_own_grid(ended: tuple[Path, Ended]) -> None:
    folder, result = ended
    assert result.status == 0, result.output
    results = folder / "results/small"
    assert not (results / "models").exists() and not (results / "reports/training.html").exists()
    model = json.loads((results / "degraded/head-test.forward.json").read_text())
    assert model["factors"] == [1, 1, 2.5]
    source: Any = nib.load(folder / "other.nii.gz")
    for made in (results / "sr/head-test.nii.gz", results / "predictions/zerofill/head-test.nii.gz"):
        restored: Any = nib.load(made)
        assert restored.shape == source.shape
        np.testing.assert_allclose(restored.affine, source.affine, atol=1e-4)


def test_the_pages_say_so(ended: tuple[Path, Ended]) -> None:
    folder, _ = ended
    for name in ("index", "head-test"):
        page = (folder / f"results/small/reports/{name}.html").read_text(encoding="utf-8")
        text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
        assert "This run has no networks: it compares baselines alone." in text
        assert "sampling at the cell centres by " in text and "2.5 along" in text
        assert "training.html" not in page and "was trained on" not in text
        links = re.findall(r'href="#([\w-]+)"', page)
        assert [link for link in links if f'id="{link}"' not in page] == []
    assert "Cubic B-spline" in run_text(folder / "results/small")


def test_targets_that_train_networks_are_refused(ended: tuple[Path, Ended]) -> None:
    folder, _ = ended
    result = snakemake(folder, "mismatch", "--configfile", folder / "small.yaml", "--dry-run")
    assert result.returncode != 0
    assert "(train.initial_weights), which does not support degrade.factor: 2.5" in result.stdout + result.stderr


def test_the_pretrained_network_is_compared_where_it_supports_the_factor(ended: tuple[Path, Ended]) -> None:
    folder, _ = ended
    values = {**yaml.safe_load((folder / "small.yaml").read_text()), "degrade": {**THICK, "factor": 4}}
    (folder / "four.yaml").write_text(yaml.safe_dump(values))
    planned = jobs(snakemake(folder, "--configfile", folder / "four.yaml", "--dry-run"))
    assert planned["convert_weights"] == 1 and planned["infer"] and "train" not in planned
