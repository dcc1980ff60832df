"""The check of every result: brought back to the grid of its input, it must agree with it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from scipy import ndimage

from pipeline.config.combine import Combine
from pipeline.config.sections import Extract, Infer
from pipeline.errors import UserError
from pipeline.formats import Part, format_of
from pipeline.formats.io.container import write_image
from pipeline.formats.mgh import MghHeader
from pipeline.image.header import FileHeader
from pipeline.image.image import Image
from pipeline.image.intensity import bulk_of
from pipeline.image.normalisation import normalise
from pipeline.inference.combine.files import combine_files
from pipeline.inference.combine.reading import Source
from pipeline.inference.domain import outside_domain
from pipeline.inference.restore_baseline import restore_by_baseline
from pipeline.inference.restore_file import restore_file
from pipeline.inference.result_check import (
    REFUSE_BEYOND,
    WARN_BEYOND,
    Agreement,
    agreement_of,
    agreement_with_measurement,
    cell_means,
    check_agreement,
    without_outliers,
)
from pipeline.models.generator import Generator
from pipeline.models.record import NetworkRecord, TrainingDomain
from pipeline.models.weights import load_generator, save_generator
from pipeline.physics.forward import ForwardModel
from pipeline.steps import infer
from pipeline.training.record import training_domain
from tests.helpers import contents, described, load_nifti, synthetic_head, write_nifti
from tests.image_files import write_series
from tests.small_training import small_excerpt, tiny_generator, tiny_recipe

HEAD = synthetic_head((40, 44, 6)).astype(np.float32) / 1000


def repeating(gain: float, factor: int = 2) -> Generator:
    """A network whose weights repeat every voxel along rows and columns, and multiply it."""
    network = tiny_generator(factor=factor)
    weights = dict(network.network.named_parameters())
    with torch.no_grad():
        for weight in weights.values():
            weight.zero_()
        for layer in ("conv_first", "conv_up1", "conv_up2", "conv_hr", "conv_last"):
            if f"{layer}.weight" in weights:
                weights[f"{layer}.weight"][0, 0, 1, 1] = gain if layer == "conv_last" else 1.0
    return network


def test_the_difference_beyond_the_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, HEAD.shape)
    denoised = agreement_of(HEAD, HEAD + noise, 1.0, 0.05)
    assert denoised.beyond_noise < 0.005
    offset = agreement_of(HEAD + 0.1, HEAD + noise, 1.0, 0.05)
    assert offset.beyond_noise == pytest.approx(0.1, rel=0.02)
    assert agreement_of(1000 * HEAD - 30, 1000 * (HEAD + noise) - 30, 1000.0, 0.05).beyond_noise == pytest.approx(
        denoised.beyond_noise, abs=1e-6
    )
    assert agreement_of(np.full_like(HEAD, np.nan), HEAD, 1.0, 0.0).beyond_noise == np.inf


def test_magnitude_noise_may_be_restored_as_the_signal_or_its_mean() -> None:
    random = np.random.default_rng(0)
    noisy = np.hypot(HEAD + random.normal(0, 0.05, HEAD.shape), random.normal(0, 0.05, HEAD.shape))
    assert agreement_of(HEAD, noisy, 1.0, 0.05, magnitude=True).beyond_noise < 0.005
    excerpt = small_excerpt("rician", 0.05)
    model = excerpt.model
    assert agreement_with_measurement(excerpt.reference.data, excerpt.lr, model).beyond_noise < 0.01


def test_parts_add_up() -> None:
    whole = agreement_of(HEAD + 0.03, HEAD, 1.0, 0.01)
    halves = [agreement_of(one + 0.03, one, 1.0, 0.01) for one in (HEAD[:13], HEAD[13:])]
    assert sum(halves, Agreement()).beyond_noise == pytest.approx(whole.beyond_noise)


def test_cells_are_averaged() -> None:
    fine = np.random.default_rng(0).normal(size=(8, 6, 3))
    np.testing.assert_allclose(cell_means(fine.repeat(2, 0).repeat(3, 1), (2, 3, 1)), fine)
    lines = np.random.default_rng(1).random((10, 3, 1))
    expected = lines.repeat(2, 0).reshape(4, 5, 3, 1).mean(axis=1)
    np.testing.assert_allclose(cell_means(lines, (2.5, 1, 1)), expected)


def test_interpolated_intensities_are_not_compared() -> None:
    hot = HEAD.copy()
    hot[20, 20, 3] = 50
    compared = without_outliers(hot, hot)
    assert np.count_nonzero(np.isnan(compared)) == 27
    assert np.isnan(compared[20, 20, 3])


@pytest.mark.parametrize(("gain", "outcome"), [(1.0, "kept"), (1.2, "warned"), (2.5, "refused")])
def test_results_are_accepted_warned_of_or_rejected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, gain: float, outcome: str
) -> None:
    model = tmp_path / "generator.safetensors"
    save_generator(model, repeating(gain))
    source, output = write_nifti(tmp_path / "in.nii.gz", 1000 * HEAD - 300), tmp_path / "out.nii.gz"
    settings = Infer(noise_sigma=0.0, threads=1, backend="torch")
    before = contents(tmp_path)

    def make(**changes: Any) -> None:
        wanted = settings.model_copy(update=changes)
        restore_file(model, source, output, Part(), Extract(), wanted, "cpu", uncertainty=False)

    if outcome == "refused":
        with pytest.raises(UserError, match=r"in\.nii\.gz: the result.*differs.*--force"):
            make()
        assert contents(tmp_path) == before, "nothing is written"
        make(force=True)
        assert output.exists() and "Do not rely on it" in caplog.text
        return
    make()
    assert ("Do not rely on it" in caplog.text) == (outcome == "warned")
    assert output.exists()


def hounsfield() -> np.ndarray:
    """A CT of a head: background at -1024, padding at -3024 outside the field of view, brain at 40 +- 6."""
    inside = synthetic_head((64, 64, 2)) > 100
    random = np.random.default_rng(3)
    values = np.where(inside, random.normal(40, 6, inside.shape), -1024 + random.normal(0, 4, inside.shape))
    bone = inside & ~np.asarray(ndimage.binary_erosion(inside, np.ones((5, 5, 1))), dtype=bool)
    values[bone] = 1200
    x, y = np.mgrid[:64, :64] - 31.5
    values[np.hypot(x, y) > 31.5] = -3024
    return np.rint(values).astype(np.int16)


@pytest.mark.parametrize("foreground", ["head", "all"])
@pytest.mark.parametrize("voxels", [hounsfield(), (hounsfield() - 3000) // 4], ids=["CT", "all negative"])
def test_negative_values_are_preserved(tmp_path: Path, voxels: np.ndarray, foreground: Any) -> None:
    model, output = tmp_path / "generator.safetensors", tmp_path / "out.nii.gz"
    save_generator(model, repeating(1.0))
    source = write_nifti(tmp_path / "in.nii.gz", voxels)
    settings = Infer(threads=1, backend="torch")
    restore_file(model, source, output, Part(), Extract(foreground=foreground), settings, "cpu", uncertainty=False)
    np.testing.assert_allclose(load_nifti(output).dataobj, voxels.repeat(2, 0).repeat(2, 1), atol=1)


@pytest.mark.parametrize("padding", [65535, 0])
def test_the_declared_padding_of_dicom_is_preserved(tmp_path: Path, padding: int) -> None:
    """Padding surrounds the field of view; the same value inside the head is an intensity."""
    voxels = np.rint(synthetic_head((64, 64, 3)) + 20).astype(np.uint16)
    x, y = np.mgrid[:64, :64] - 31.5
    corners = np.broadcast_to((np.hypot(x, y) > 31.5)[..., None], voxels.shape)
    voxels[corners] = padding
    source = write_series(tmp_path / "in", voxels, PixelPaddingValue=padding)
    model, output = tmp_path / "generator.safetensors", tmp_path / "out.dicom.zip"
    save_generator(model, repeating(1.1))
    settings = Infer(threads=1, backend="torch", force=True)
    restore_file(model, source, output, Part(), Extract(), settings, "cpu", uncertainty=True)
    result, before = (format_of(path).read(path) for path in (output, source))
    expected = np.isnan(before.data).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(np.isnan(result.data), expected)
    assert np.count_nonzero(expected) == 4 * np.count_nonzero(corners)
    stored = np.concatenate([one.ravel() for one in dicom_pixels(output)])
    assert np.count_nonzero(stored == padding) == np.count_nonzero(expected)
    tissue = np.abs(result.data - 1.1 * before.data.repeat(2, 0).repeat(2, 1))[~expected]
    assert np.median(tissue) < 3


def dicom_pixels(archive: Path) -> list[np.ndarray]:
    """Read the pixels of a zip of DICOM files with pydicom alone."""
    with zipfile.ZipFile(archive) as files:
        return [pydicom.dcmread(io.BytesIO(files.read(name))).pixel_array for name in files.namelist()]


MANY = {
    "dead": lambda data, span: np.put(data, range(0, data.size, data.size // 29), -100 * span),
    "hot": lambda data, span: np.put(data, range(0, data.size, data.size // 29), 100 * span),
    "metal": lambda data, span: data.__setitem__((slice(30, 34), slice(30, 34), 0), 20 * span),
    "dark mark": lambda data, span: data.__setitem__((slice(1, 4), slice(1, 13)), -20 * span),
    "bright mark": lambda data, span: data.__setitem__((slice(1, 4), slice(1, 13)), 20 * span),
}
"""Outliers that are more than a thousandth of the image."""


@pytest.mark.parametrize("kind", MANY)
@pytest.mark.parametrize("slices", [1, 6])
def test_outliers_do_not_stretch_the_range(kind: str, slices: int) -> None:
    noise = np.random.default_rng(1).normal(0, 15, (64, 64, slices))
    calm = synthetic_head((64, 64, slices)).astype(np.float64) + noise
    changed = calm.copy()
    MANY[kind](changed, 1000.0)
    assert np.count_nonzero(changed != calm) > 0
    results = [normalise(image_of(data), Extract()) for data in (calm, changed)]
    for one, other in zip(*(image.intensity.shown_range for image in results), strict=True):
        assert one == pytest.approx(other, abs=0.03 * results[0].intensity.shown_range.scale)
    kept = changed == calm
    masks = [image.masks["foreground"] & kept for image in results]
    assert np.mean(masks[0] != masks[1]) < 0.02


def image_of(data: np.ndarray) -> Image:
    return Image(data, np.eye(4), header=FileHeader(format="nifti"))


def test_sparse_bright_structures_are_not_outliers() -> None:
    """Cells in fluorescence fill less than a hundredth of the image, but their edges have all values in between."""
    cells = np.zeros((64, 64, 16))
    places = np.random.default_rng(2).integers(4, 60, (6, 2))
    cells[places[:, 0], places[:, 1], 8] = 40_000
    image = 100 + np.random.default_rng(3).normal(0, 5, cells.shape) + ndimage.gaussian_filter(cells, 1.2)
    assert 0.001 < np.mean(image > 200) < 0.01
    assert bulk_of(image).high == np.inf


@pytest.mark.parametrize(("method", "force", "written"), [("a", False, False), ("a", True, True), ("b", False, True)])
def test_a_run_rejects_a_disagreeing_result_that_it_delivers(
    tmp_path: Path, method: str, force: bool, written: bool
) -> None:
    """Results of methods that are compared but not delivered are always evaluated."""
    excerpt = small_excerpt("gaussian", 0.01)
    image = excerpt.reference.with_data(excerpt.lr, masks={}, header=MghHeader())
    image = described(image, id="v", forward_model=excerpt.model)
    write_image(tmp_path / "v.safetensors", image)
    save_generator(tmp_path / "generator.safetensors", repeating(3.0, factor=4))
    settings = Infer(deliver="a", noise_sigma=0.01, threads=1, backend="torch", force=force)

    def make() -> None:
        model, lr = tmp_path / "generator.safetensors", tmp_path / "v.safetensors"
        output = tmp_path / method
        infer.run(infer.Options(model=model, lr=[lr], output=output, device="cpu", settings=settings))

    if written:
        make()
        return
    with pytest.raises(UserError, match=r"v: the result, degraded to the grid.*infer\.force: true"):
        make()


def test_the_bounds_are_checked(caplog: pytest.LogCaptureFixture) -> None:
    def found(share: float) -> Agreement:
        return Agreement(share**2 * 100, 0.0, 100)

    check_agreement("a", found(0.99 * WARN_BEYOND), force=False)
    assert "rely" not in caplog.text
    check_agreement("a", found(1.01 * WARN_BEYOND), force=False)
    assert "rely" in caplog.text
    with pytest.raises(UserError):
        check_agreement("a", found(1.01 * REFUSE_BEYOND), force=False)


def test_images_outside_the_recorded_training_domain_cause_a_warning() -> None:
    models = [
        ForwardModel((4, 4, 1), (40, 40, 5), "rician", 0.02, spacing_mm=(1.0, 1.0, 5.0)),
        ForwardModel((1, 4, 4), (5, 40, 40), "rician", 0.03, spacing_mm=(5.0, 0.8, 0.8)),
    ]
    recipe = tiny_recipe()
    domain = training_domain(models, recipe)
    assert domain.voxel_mm == (pytest.approx(3.2), 4.0)
    assert domain.noise_sigma == recipe.noise_sigma_range
    domain = TrainingDomain(noise_sigma=(0.01, 0.04), voxel_mm=(3.2, 4.0))
    assert outside_domain(domain, 0.02, [3.5, 3.5]) == []
    assert outside_domain(domain, 0.049, [4.9, 2.5]) == []
    [noise] = outside_domain(domain, 0.06, [3.5, 3.5])
    assert "6.0 %" in noise and "1.0 to 4.0 %" in noise
    [size] = outside_domain(domain, 0.001, [0.5, 0.5])
    assert "0.5 x 0.5 mm" in size and "3.2 to 4 mm" in size
    assert outside_domain(domain, 0.02, None) == []
    assert outside_domain(None, 0.9, [99.0]) == []
    no_size = [ForwardModel((4, 4, 1), (40, 40, 5))]
    assert training_domain(no_size, recipe).voxel_mm is None


def test_the_domain_is_saved_with_the_network(tmp_path: Path) -> None:
    network = tiny_generator()
    network.record = NetworkRecord(domain=TrainingDomain(noise_sigma=(0.0, 0.05), voxel_mm=None))
    save_generator(tmp_path / "generator.safetensors", network)
    assert load_generator(tmp_path / "generator.safetensors").record == network.record


@pytest.mark.parametrize("place", ["in.nii.gz", "in.uncertainty.nii.gz"])
def test_the_input_is_never_overwritten(tmp_path: Path, place: str) -> None:
    model, source = tmp_path / "generator.safetensors", tmp_path / place
    save_generator(model, repeating(1.0))
    write_nifti(source, 1000 * HEAD)
    before = contents(tmp_path)
    with pytest.raises(UserError, match="would overwrite the input"):
        restore_file(
            model, source, tmp_path / "in.nii.gz", Part(), Extract(), Infer(noise_sigma=0.0), "cpu", uncertainty=True
        )
    assert contents(tmp_path) == before


def test_a_result_that_is_not_finite_is_never_written() -> None:
    """As integers, its voxels would all be zero."""
    found = agreement_of(np.array([np.nan, 0.5]), np.zeros(2), 1.0, 0.01)
    with pytest.raises(UserError, match=r"^mask: the result has voxels that are not finite numbers"):
        check_agreement("mask", found, force=True)


@pytest.mark.parametrize("place", ["folder", "folder.nii.gz", "", "file/sr.nii.gz"])
def test_a_result_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, place: str) -> None:
    """The image is not even read: there is none."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.nii.gz").mkdir()
    (tmp_path / "file").touch()
    before, missing = contents(tmp_path), [Source(tmp_path / name) for name in ("a.nii.gz", "b.nii.gz")]
    for work in (
        lambda output: restore_by_baseline("bspline3", missing[0].path, output, Part(), Extract(), Infer(), 2),
        lambda output: combine_files(missing, output, Combine()),
    ):
        with pytest.raises(UserError, match=r"^--output: (.* is a folder; give the name of a file|cannot write into)"):
            work(tmp_path / place)
    assert contents(tmp_path) == before


def test_a_wrong_noise_level_is_reported_and_does_not_affect_the_check(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, output = tmp_path / "generator.safetensors", tmp_path / "out.nii.gz"
    save_generator(model, repeating(1.2))
    source = write_nifti(tmp_path / "in.nii.gz", 1000 * HEAD)
    settings = Infer(noise_sigma=0.5, threads=1, backend="torch")
    restore_file(model, source, output, Part(), Extract(), settings, "cpu", uncertainty=False)
    assert "the given noise level is 0.5" in caplog.text
    assert "Do not rely on it" in caplog.text
