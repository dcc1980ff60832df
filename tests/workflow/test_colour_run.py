"""Coloured tissue through the whole workflow: what is delivered, measured and doubted keeps its colours apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
import yaml
from PIL import Image as PillowImage
from safetensors.torch import save_file
from skimage.data import immunohistochemistry
from skimage.metrics import peak_signal_noise_ratio

from pipeline.formats.io.container import read_image
from pipeline.models.generator import Generator, Shape
from tests.image_files import write_ome
from tests.workflow.project import snakemake

RUN = "results/stained"
COLOUR = f"{RUN}/sr/slide-test.png"
PAIR = f"{RUN}/sr/pair.ome.tiff"
SIDE = 72


def configuration() -> dict[str, Any]:
    """Return the configuration: four steps on one cut of a slide, tested on another and on a file of two channels."""
    network = {"blocks": 1, "features": 8, "growth": 4, "trained_on": "nothing, random numbers"}
    names = {"train": "train", "val": "val", "slide-test": "test"}
    sources = {name: {"kind": "local", "path": f"{name}.png", "format": "picture"} for name in names}
    volumes = [
        {"id": name, "subject": name, "split": split, "source": name, "voxel_um": [0.5, 0.5, 1.0]}
        for name, split in names.items()
    ]
    volumes.append({"id": "pair", "subject": "pair", "split": "test", "source": "pair"})
    return {
        "run": "stained",
        "sources": {
            **sources,
            "pair": {"kind": "local", "path": "pair.ome.tif"},
            "small": {"kind": "local", "path": "small.safetensors", "network": network},
        },
        "volumes": volumes,
        "extract": {"foreground": "all"},
        "degrade": {
            "operators": [{"name": "gaussian_psf", "fwhm_voxels": 2.0}, {"name": "binning"}],
            "factor": 2,
            "noise": "poisson_gaussian",
            "noise_sigma": 0.03,
        },
        "methods": ["rrdb_l1"],
        "recipes": {"rrdb_l1": {"steps": 4, "batch_size": 2, "patch_lr": 8, "warmup_steps": 1}},
        "train": {"initial_weights": "small", "validate_every": 2, "checkpoint_every": 2},
        "infer": {"deliver": "rrdb_l1", "force": True},  # the network is hardly trained
        "evaluate": {"bootstrap_samples": 100},
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stained")
    slide = immunohistochemistry()
    for index, name in enumerate(("train", "val", "slide-test")):
        cut = slide[150 : 150 + SIDE, index * SIDE : (index + 1) * SIDE]
        PillowImage.fromarray(cut).save(folder / f"{name}.png")
    channels = np.stack([slide[300 : 300 + SIDE, 200 : 200 + SIDE, colour][None] for colour in (0, 2)])
    write_ome(folder / "pair.ome.tif", channels.astype(np.uint16) * 200, "CZYX")
    torch.manual_seed(0)
    save_file(
        Generator(Shape(blocks=1, features=8, growth=4, channels=3)).network.state_dict(), folder / "small.safetensors"
    )
    (folder / "stained.yaml").write_text(yaml.safe_dump(configuration()))
    result = snakemake(folder, "--configfile", folder / "stained.yaml")
    assert result.returncode == 0, result.stderr
    return folder


def test_colours_come_back_as_colours(finished: Path) -> None:
    with PillowImage.open(finished / COLOUR) as restored, PillowImage.open(finished / "slide-test.png") as reference:
        assert restored.mode == "RGB" and restored.size == (SIDE, SIDE)
        values, true = (np.asarray(each).astype(float) for each in (restored, reference))
    own = [np.corrcoef(values[..., c].ravel(), true[..., c].ravel())[0, 1] for c in range(3)]
    others = [np.corrcoef(values[..., c].ravel(), true[..., 2 - c].ravel())[0, 1] for c in (0, 2)]
    assert min(own) > 0.5
    assert own[0] > others[0] and own[2] > others[1], "colours must not change places"


def test_channels_keep_their_names(finished: Path) -> None:
    with tifffile.TiffFile(finished / PAIR) as file:
        text = str(file.ome_metadata)
        shape = file.asarray().shape
    assert shape == (2, SIDE, SIDE) and 'Name="GFP"' in text


def test_a_picture_is_measured_by_the_mean_over_its_colours(finished: Path) -> None:
    slices = pd.read_csv(finished / RUN / "metrics/slices.csv")
    row = slices[(slices.metric == "psnr") & (slices.region == "whole") & (slices.method == "bicubic")]
    assert row.groupby("volume").size().to_dict() == {"slide-test": 1, "pair": 1, "val": 1}
    with PillowImage.open(finished / RUN / "predictions/bicubic/slide-test.png") as restored:
        values = np.asarray(restored).astype(float)
    with PillowImage.open(finished / "slide-test.png") as reference:
        true = np.asarray(reference).astype(float)
    span = read_image(finished / RUN / "extracted/slide-test.safetensors").intensity.scale
    expected = np.mean([peak_signal_noise_ratio(true[..., c], values[..., c], data_range=span) for c in range(3)])
    assert row.set_index("volume").value["slide-test"] == pytest.approx(expected, abs=0.02)


def test_the_gate_and_the_inserted_structures_see_both(finished: Path) -> None:
    gates = pd.read_csv(finished / RUN / "metrics/gates.csv")
    assert {"slide-test", "pair"} <= set(gates.volume)
    inserted = pd.read_csv(finished / RUN / "metrics/inserted_structures.csv")
    assert len(inserted) > 0


def test_the_error_map_has_the_deliverables_form(finished: Path) -> None:
    names = sorted(path.name for path in (finished / RUN / "sr").iterdir())
    assert {"pair.uncertainty.ome.tiff", "slide-test.uncertainty.png"} < set(names)
    with PillowImage.open(finished / RUN / "sr/slide-test.uncertainty.png") as errors:
        assert errors.mode == "RGB" and errors.size == (SIDE, SIDE)
    with tifffile.TiffFile(finished / RUN / "sr/pair.uncertainty.ome.tiff") as file:
        assert file.asarray().shape == (2, SIDE, SIDE)


def test_the_page_names_the_channels(finished: Path) -> None:
    page = (finished / RUN / "reports/slide-test.html").read_text()
    assert "green" in page and "Each channel is restored as separate slices" in page
