"""The benchmark of several scans: a small head, its rows, its tables, and a run that continues."""

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from benchmarks import several_scans, tikhonov
from benchmarks.simulated_scans import SETTINGS, motions, read_head
from pipeline.files import read_json, write_json
from pipeline.image.image import Image, Slicing
from pipeline.image.rigid import Rigid
from pipeline.image.slice_profile import SliceProfile
from pipeline.inference.combine.scan import Scan
from pipeline.physics.scan_operator import Grid


def write_head(folder: Path) -> Path:
    """Write an ellipsoid of 44 mm with bright and dark tissue, 1 mm."""
    noise = np.random.default_rng(5).normal(size=(56, 58, 54))
    tissue = ndimage.gaussian_filter(noise, 1.5)
    places = np.array(np.indices(noise.shape)) - np.array([28, 29, 27])[:, None, None, None]
    inside = (places**2).sum(axis=0) < 22**2
    path = folder / "tiny_SS.nii.gz"
    data = inside * (500 + 300 * np.tanh(2 * tissue / tissue.std()))
    nib.save(nib.Nifti1Image(data.astype(np.float32), np.diag([1.0, 1, 1, 1])), path)
    return path


def test_a_small_head_is_measured_once(tmp_path, capsys):
    write_head(tmp_path)
    command = ["--heads", str(tmp_path), "--persons", "tiny", "--output", str(tmp_path / "out"), "--threads", "1"]
    several_scans.main([*command, "--settings", "three-4mm"])
    assert "| three-4mm |" in capsys.readouterr().out
    row = tmp_path / "out/rows/tiny-three-4mm.json"
    found = read_json(row)
    for method in ("plain_ls", "least_squares", "total_variation", "tikhonov", "huber"):
        scores = found["scores"]["block"]
        assert scores[method]["psnr"] > scores["mean"]["psnr"] + 1, method
    write_json(row, {**found, "person": "as stored"})
    several_scans.main([*command, "--settings", "three-4mm", "--calibrate-on", str(tmp_path / "out")])
    assert read_json(row)["person"] == "as stored"
    assert "expected |error|" in capsys.readouterr().out


def test_motions_have_the_sizes_of_the_setting(tmp_path):
    head = read_head(write_head(tmp_path))
    drawn = [motions(head, SETTINGS["moved-given"], seed)[1:] for seed in range(20)]
    angles = [one.angle_degrees for pair in drawn for one in pair]
    shifts = [one.about(head.centre).shift_mm for pair in drawn for one in pair]
    assert 4 < max(angles) <= 5 and 3 < max(shifts) <= 4


def test_point_spread_function_of_the_peer_is_where_the_slice_is():
    """A linear image is measured at the centre of every voxel, also in a scan of a moved head."""
    motion = Rigid.from_vector([3, -2, 4, 1, 2, -1], (10, 10, 10))
    grid = Grid((24, 24, 24), np.eye(4))
    affine = np.diag([1.0, 1, 4, 1])
    affine[2, 3] = 1.5
    positions = np.indices((24, 24, 6)).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    slopes = np.array([0.01, 0.02, 0.03])
    values = motion.inverse().apply(positions) @ slopes
    image = Image(values.reshape(24, 24, 6).astype(np.float32), affine, slicing=Slicing("axial", 2))
    equations = tikhonov.system([Scan("a", image, SliceProfile(4.0), 0.02, motion)], grid)
    linear = np.indices(grid.shape).reshape(3, -1).T @ slopes
    assert equations.measured.size > 500
    np.testing.assert_allclose(equations.matrix @ linear, equations.measured, atol=0.006)
