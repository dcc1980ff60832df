"""Neurons separated by their membranes: the measures on known answers, and the stage on cells that a blur must join."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage, stats
from scipy.spatial import KDTree
from sklearn.metrics.cluster import mutual_info_score, pair_confusion_matrix

from pipeline.config.sections import REFERENCE, Extract
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.fidelity.membranes import GAP, MAX_BLOCK, MAX_SIDE, blocks_of, membrane_agreement, neuron_rows, parts
from pipeline.formats.io.container import write_image
from pipeline.formats.io.extraction import read_block
from pipeline.formats.io.predictions import write_prediction
from pipeline.image.image import Identity, Image
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps.__main__ import main
from pipeline.tables.membrane_agreement import MEMBRANE_AGREEMENT
from pipeline.tables.membranes import MEMBRANES, NeuronSegmentation

SHAPE = (104, 40, 44)
PITCH = 20


def cells() -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return bright cells with dark, noisy boundaries, and their labels; shape (x, y, z)."""
    generator = np.random.default_rng(0)
    voxels = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    centres = np.stack(np.meshgrid(*(np.arange(PITCH // 2, size, PITCH) for size in SHAPE), indexing="ij"), axis=-1)
    moved = centres.reshape(-1, 3) + generator.uniform(-3, 3, (centres.size // 3, 3))
    found: Any = KDTree(moved).query(voxels, k=2)
    distances, nearest = found
    noise = generator.normal(0, 8, SHAPE)
    grey = np.where(distances[..., 1] - distances[..., 0] < 2, 60, 180) + noise
    return grey.clip(0, 255).astype(np.uint8), nearest[..., 0].astype(np.uint16) + 1


def command(folder: Path) -> list[str]:
    """Write a block of slices of a stack, its labels and three restorations; return the step's arguments."""
    grey, labels = cells()
    for name, values in (("stack.ome.tif", grey), ("labels.tif", labels)):
        tifffile.imwrite(folder / name, values.transpose(2, 1, 0), photometric="minisblack", metadata={"axes": "ZYX"})
    volume = Volume(id="em", subject="fly", split="test", source="em", slices=(4, 44), voxel_um=(0.01, 0.01, 0.01))
    image = read_block(folder / "stack.ome.tif", volume, Extract(foreground="all"))
    image = replace(image, identity=Identity("em", "fly", "test", "em"))
    write_image(folder / "em.safetensors", image)
    lr = LowResolutionImage.of(image, ForwardModel((1, 1, 1), image.data.shape))
    blurred = ndimage.gaussian_filter(image.data, 3)
    names = []
    for method, estimate in (("bicubic", blurred), ("nearest", 0 * image.data), ("faithful", image.data)):
        names.append(f"{method}/em.ome.tif")
        (folder / method).mkdir()
        write_prediction(folder / names[-1], lr, estimate)
    given = ["--hr", "em.safetensors", "--neurons", "labels.tif", "--predictions", *names]
    return ["membranes", *given, "--rows", "rows.csv", "--output", "membranes.csv", "--seed", "3"]


def test_a_blur_joins_neurons_and_the_reference_is_the_ceiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arguments = command(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    first = Path("rows.csv").read_bytes()
    rows = {row.method: row for row in MEMBRANE_AGREEMENT.read_rows(Path("membranes.csv"))}
    assert rows[REFERENCE].voi < 1 and rows[REFERENCE].rand_error < 0.2
    assert rows["faithful"].voi == pytest.approx(rows[REFERENCE].voi, abs=0.1), "rounded to 8 bits"
    assert rows["bicubic"].voi > 2 * rows[REFERENCE].voi
    assert rows["nearest"].voi_merge > 2, "nothing is separated in an empty volume"
    assert rows["faithful"].baseline == "bicubic" and rows["faithful"].diff < -1
    assert math.isnan(rows[REFERENCE].diff)
    assert main(arguments) == 0
    assert Path("rows.csv").read_bytes() == first, "the same seed gives the same bytes"


def test_labels_of_another_volume_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    arguments = command(tmp_path)
    monkeypatch.chdir(tmp_path)
    labels = tifffile.imread("labels.tif")
    tifffile.imwrite("labels.tif", labels[:, :-1], photometric="minisblack", metadata={"axes": "ZYX"})
    assert main(arguments) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert "labels.tif: has shape" in message and "volume 'em'" in message
    assert not Path("rows.csv").exists() and not Path("membranes.csv").exists()


def test_measures_match_scikit_learn(tmp_path: Path):
    generator = np.random.default_rng(1)
    people = generator.integers(0, 4, (20, 20, 20))
    found = np.where(generator.random(people.shape) < 0.7, people, generator.integers(1, 9, people.shape)) + 1
    image = Image(people.astype(np.float32), np.eye(4))
    (row,) = neuron_rows(image, "one", people, found)
    known = people > 0
    true, test = people[known], found[known]
    shared = mutual_info_score(true, test)
    assert row.voi_split == pytest.approx((stats.entropy(np.bincount(test)) - shared) / math.log(2), abs=1e-9)
    assert row.voi_merge == pytest.approx((stats.entropy(np.bincount(true)) - shared) / math.log(2), abs=1e-9)
    (_, false_pairs), (missed, pairs) = pair_confusion_matrix(true, test)
    # scikit-image counts pairs of voxels with replacement, which differs by the number of voxels.
    precision, recall = pairs / (pairs + false_pairs), pairs / (pairs + missed)
    assert row.rand_error == pytest.approx(1 - 2 * precision * recall / (precision + recall), abs=1e-2)


def test_parts_are_apart_and_blocks_fill_the_evaluated_one():
    taught, evaluated = parts((250, 250, 250), 2)
    assert evaluated[0].start - taught[0].stop >= GAP
    assert max(one.stop - one.start for part in (taught, evaluated) for one in part) == MAX_SIDE
    shape = tuple(one.stop - one.start for one in evaluated)
    covered = np.zeros(shape, dtype=int)
    for block in blocks_of(shape):
        covered[block] += 1
        assert max(one.stop - one.start for one in block) <= MAX_BLOCK
    assert np.all(covered == 1)
    with pytest.raises(UserError, match="too small"):
        parts((90, 250, 250), 2)


def test_differences_are_paired_by_block():
    values = {"reference": [1.0, 2.0], "bspline3": [2.0, 3.0], "bicubic": [4.0, 4.0], "ours": [1.5, 2.7]}
    rows = [
        NeuronSegmentation("v", "s", "test", name, block, 0.25 * value, 0.75 * value, value, value / 10)
        for name, pair in values.items()
        for block, value in enumerate(pair)
    ]
    found = {row.method: row for row in membrane_agreement(rows, ["bicubic", "bspline3"], 0.95)}
    ours = found["ours"]
    assert ours.baseline == "bspline3" and ours.blocks == 2 and ours.diff == pytest.approx(-0.4)
    low, high = stats.t.interval(0.95, 1, loc=-0.4, scale=stats.sem([-0.5, -0.3]))
    assert (ours.diff_ci_low, ours.diff_ci_high) == pytest.approx((low, high))
    assert found["bspline3"].diff == 0 and found["bicubic"].voi_merge == pytest.approx(3.0)
    assert membrane_agreement([], ["bicubic"], 0.95) == []
    assert list(MEMBRANES.frame(rows)["method"].unique()) == list(values)
