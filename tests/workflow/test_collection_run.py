"""A folder of pictures through the real workflow: near-duplicates, stacks, TIFF pages."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import yaml
from PIL import Image as PillowImage
from safetensors.torch import save_file

from pipeline.models.generator import Generator, Shape
from tests.unit.test_collections import encoded, scene
from tests.workflow.project import jobs, snakemake

DUPLICATES = "results/pictures/duplicates.csv"
NEEDED = ("--until", "interpolate")
"""Restores the pictures with the baselines, which needs no training."""


def configuration() -> dict[str, Any]:
    """Return a configuration whose deliverable is a baseline, so that nothing needs to be trained for it."""
    network = {"blocks": 1, "features": 8, "growth": 4, "trained_on": "nothing, random numbers"}
    return {
        "run": "pictures",
        "sources": {
            "mine": {"kind": "local", "path": "my pictures"},
            "small": {"kind": "local", "path": "small.safetensors", "network": network},
        },
        "volumes": [],
        "collections": [
            {"id": "training", "source": "mine", "folder": "Training", "shards": {"train": 1, "val": 1}},
            {"id": "testing", "source": "mine", "folder": "Testing", "shards": {"test": 1}},
        ],
        "train": {"initial_weights": "small"},
        "infer": {"deliver": "bicubic"},
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a project")
    for number in range(8):
        _save(folder / f"my pictures/Training/{'ab'[number % 2]}/{number}.jpg", scene(number))
    _save(folder / "my pictures/Testing/a/new.jpg", scene(20, 44, 52))
    _save(folder / "my pictures/Testing/b/seen.jpg", scene(3))
    torch.manual_seed(0)
    network = Generator(Shape(blocks=1, features=8, growth=4, channels=3)).network
    save_file(network.state_dict(), folder / "small.safetensors")
    (folder / "pictures.yaml").write_text(yaml.safe_dump(configuration()))
    return folder


@pytest.fixture(scope="module")
def finished(project: Path) -> Path:
    result = snakemake(project, *NEEDED, "--configfile", project / "pictures.yaml")
    assert result.returncode == 0, result.stderr
    return project


def _save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture, "JPEG"))


def test_a_picture_of_training_is_left_out_of_the_test(finished: Path) -> None:
    table = (finished / DUPLICATES).read_text()
    assert "b/seen.jpg,test,testing-0,b/3.jpg" in table
    with tifffile.TiffFile(next(finished.glob("results/pictures/restored/*/bicubic/testing-0.tiff"))) as file:
        pages: Any = file.pages
        assert [page.tags[285].value for page in pages] == ["a/new.jpg"]
        assert pages[0].shape == (44, 52)
        restored = pages[0].asarray().astype(float)
    with PillowImage.open(finished / "my pictures/Testing/a/new.jpg") as reference:
        assert np.corrcoef(restored.ravel(), np.asarray(reference).astype(float).ravel())[0, 1] > 0.8


def test_a_second_run_does_nothing(finished: Path) -> None:
    result = snakemake(finished, *NEEDED, "--dry-run", "--configfile", finished / "pictures.yaml")
    assert jobs(result) == {}


def test_everything_of_a_run_is_planned(finished: Path) -> None:
    result = snakemake(finished, "--configfile", finished / "pictures.yaml", "--dry-run")
    assert result.returncode == 0, result.stderr
    planned = jobs(result)
    assert planned["report_volumes"] == 2 and planned["infer"] >= 2 and planned["publish"] >= 1
    assert planned["diagnosis"] == 1 and "tissue" not in planned, "pictures have classes, and no voxel size"


def test_a_new_picture_is_noticed(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, symlinks=True)
    asked = (*NEEDED, "--dry-run", "--configfile", copy / "pictures.yaml")
    assert jobs(snakemake(copy, *asked)) == {}
    _save(copy / "my pictures/Testing/a/another.jpg", scene(30))
    planned = jobs(snakemake(copy, *asked))
    assert {"download", "duplicates", "extract", "interpolate"} <= set(planned)
