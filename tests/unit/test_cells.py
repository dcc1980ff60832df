"""Cells in restored volumes: the detector and the matching on known answers, and the stage on cells between planes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial.distance import cdist

from pipeline.config.parameters import PhysicalParameters
from pipeline.config.sections import Extract
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.fidelity.cells import cell_agreement, cell_positions, compared_slices, count_matches
from pipeline.formats.io.container import write_image
from pipeline.formats.io.extraction import read_block
from pipeline.formats.io.predictions import write_prediction
from pipeline.image.image import Identity, Image
from pipeline.image.plane import Slicing
from pipeline.physics.degradation import degrade
from pipeline.physics.forward import ForwardModel
from pipeline.physics.operators import binning, decimation
from pipeline.steps.__main__ import main
from pipeline.tables.cell_agreement import CELL_AGREEMENT
from pipeline.tables.cells import CELLS, DetectedCells

SHAPE = (96, 80, 9)
VOXEL_UM = (2.0, 2.5, 5.0)
DIAMETER_UM = 12.0
DECIMATION = decimation.Parameters()


def positions() -> NDArray[np.float64]:
    """Return the centres of cells in micrometres, 24 µm apart, in random planes; shape (cells, 3)."""
    places = np.stack(np.meshgrid(*(np.arange(16, extent, 24) for extent in (176, 184)), indexing="ij"), axis=-1)
    depths = np.random.default_rng(0).integers(0, SHAPE[2], places[..., 0].size) * VOXEL_UM[2]
    return np.column_stack([places.reshape(-1, 2), depths]).astype(np.float64)


def stack() -> NDArray[np.uint16]:
    """Return a stack with cells as Gaussian spots, so flat that each is in a single plane; shape (x, y, z)."""
    grids = np.meshgrid(*(np.arange(size) * step for size, step in zip(SHAPE, VOXEL_UM, strict=True)), indexing="ij")
    volume = np.zeros(SHAPE)
    for centre in positions():
        offsets = [grid - place for grid, place in zip(grids, centre, strict=True)]
        distances = offsets[0] ** 2 + offsets[1] ** 2 + 16 * offsets[2] ** 2
        volume += 2000 * np.exp(-distances / 2 / (DIAMETER_UM / 2 / np.sqrt(2)) ** 2)
    return (volume + 200 + 10 * np.random.default_rng(1).standard_normal(SHAPE)).clip(0).astype(np.uint16)


def command(folder: Path) -> list[str]:
    """Write a stack of which two thirds of the planes were dropped, and three restorations; return the arguments."""
    tifffile.imwrite(folder / "cells.ome.tif", stack().T, photometric="minisblack", metadata={"axes": "ZYX"})
    volume = Volume(id="brain", subject="mouse", split="test", source="brain", voxel_um=VOXEL_UM, cell_um=DIAMETER_UM)
    image = read_block(folder / "cells.ome.tif", volume, Extract(foreground="all"))
    image = replace(image, identity=Identity("brain", "mouse", "test", "brain"))
    write_image(folder / "brain.safetensors", image)
    lr = degrade(image, model(image.data.shape))
    write_image(folder / "brain-lr.safetensors", lr)
    kept = image.data[..., 1::3]
    names = []
    for method, estimate in (
        ("bicubic", np.repeat(kept, 3, axis=2)),
        ("nearest", 0 * image.data),
        ("ours", image.data),
    ):
        names.append(f"cells/{method}/brain.ome.tif")
        (folder / "cells" / method).mkdir(parents=True)
        write_prediction(folder / names[-1], lr, estimate)
    given = ["--hr", "brain.safetensors", "--lr", "brain-lr.safetensors", "--predictions", *names]
    return ["cells", *given, "--diameters-um", str(DIAMETER_UM), "--rows", "rows.csv", "--output", "cells.csv"]


def model(shape: tuple[int, ...], step: PhysicalParameters = DECIMATION, factor: float = 3) -> ForwardModel:
    """Return a forward model along z, without noise."""
    return ForwardModel((1, 1, factor), shape, operators=(step,), slice_axis=2)


def test_cells_of_dropped_planes_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arguments = command(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    rows = CELLS.read_rows(Path("rows.csv"))
    depths = (positions()[:, 2] / VOXEL_UM[2]).astype(int)
    expected = {plane: int(np.count_nonzero(depths == plane)) for plane in (0, 2, 3, 5, 6, 8)}
    assert {row.slice: row.cells for row in rows} == {plane: count for plane, count in expected.items() if count}
    found = {row.method: row for row in CELL_AGREEMENT.read_rows(Path("cells.csv"))}
    assert found["ours"].f1 == found["ours"].precision == found["ours"].recall == 1
    assert found["nearest"].f1 == found["nearest"].found == 0
    assert found["bicubic"].f1 < 0.2, "the cells of a plane are not those of its neighbour"
    assert found["ours"].baseline == "bicubic" and found["ours"].diff > 0.8


@pytest.mark.parametrize(
    ("step", "factor", "expected"),
    [
        (DECIMATION, 3, [0, 2, 3, 5, 6, 8, 9]),  # the tenth plane is in a cell of its own, whose centre is beyond it
        (DECIMATION, 2, list(range(10))),  # the centres lie between two planes
        (binning.Parameters(), 3, list(range(10))),
    ],
)
def test_planes_that_contribute_nothing_are_compared(step, factor, expected):
    whole = np.zeros((8, 8, 10), dtype=np.float32)
    lr = degrade(Image(whole, np.eye(4), slicing=Slicing("axial", 2)), model(whole.shape, step, factor))
    assert compared_slices(lr) == expected


def test_cells_are_found_where_they_are():
    centres = np.array([[40.0, 30.0], [40.0, 52.0], [120.0, 90.0], [100.0, 150.0]])
    rows, columns = (np.arange(100) * step for step in (2.0, 2.5))
    spot = DIAMETER_UM / 2 / np.sqrt(2)
    contrasts = (0.5, 0.5, 0.3, 0.1)
    plane = np.full((100, 100), 0.1)
    for contrast, (row, column) in zip(contrasts, centres, strict=True):
        plane += contrast * np.exp(-((rows[:, None] - row) ** 2 + (columns - column) ** 2) / 2 / spot**2)
    found = cell_positions(plane, (2.0, 2.5), DIAMETER_UM)
    assert len(found) == 3, "the last one has half the minimum contrast"
    assert count_matches(centres[:3], found, 2.5) == 3
    with pytest.raises(UserError, match="smaller than 3 pixels"):
        cell_positions(plane, (2.0, 5.0), DIAMETER_UM)


def test_number_of_matches_is_that_of_the_largest_assignment():
    generator = np.random.default_rng(2)
    for count in (3, 20, 60):
        one, other = generator.uniform(0, 40, (count, 2)), generator.uniform(0, 40, (count + 5, 2))
        near = csr_array(cdist(one, other) <= 4)
        expected = np.count_nonzero(maximum_bipartite_matching(near, perm_type="column") >= 0)
        assert count_matches(one, other, 4) == expected
    assert count_matches(one, np.empty((0, 2)), 4) == 0


def test_differences_are_paired_by_slice():
    values = {"bspline3": [0.5, 0.7], "bicubic": [0.4, 0.6], "ours": [0.8, 0.9]}
    rows = [
        DetectedCells("v", "s", "test", name, place, 10, 20, 10 * place, score)
        for name, pair in values.items()
        for place, score in enumerate(pair)
    ]
    found = {row.method: row for row in cell_agreement(rows, ["bicubic", "bspline3"], 0.95)}
    ours = found["ours"]
    assert (ours.baseline, ours.slices, ours.cells, ours.found) == ("bspline3", 2, 20, 40)
    assert (ours.precision, ours.recall, ours.f1) == pytest.approx((0.25, 0.5, 0.85))
    low, high = stats.t.interval(0.95, 1, loc=0.25, scale=stats.sem([0.3, 0.2]))
    assert (ours.diff, ours.diff_ci_low, ours.diff_ci_high) == pytest.approx((0.25, low, high))
    assert cell_agreement([], ["bicubic"], 0.95) == []
