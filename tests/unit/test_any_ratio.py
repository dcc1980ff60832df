"""Networks that restore thick slices of any ratio: patches, initial weights, training, and a scan restored by them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.__main__ import main
from pipeline.config.recipe import Recipe
from pipeline.config.sections import Infer
from pipeline.config.sources import PackageSource
from pipeline.errors import UserError
from pipeline.formats.io.container import write_image
from pipeline.image.image import Image
from pipeline.inference.volume import restore_volume
from pipeline.models.weights import load_generator, save_generator
from pipeline.physics.degradation import degrade
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import apply_along_axes
from pipeline.physics.operators import decimation, slice_profile
from pipeline.physics.slice_sampling import MIN_SIGMA, PENALTY, deconvolution, slice_sampling
from pipeline.physics.torch_operator import as_torch
from pipeline.training.any_ratio import AnyRatioSampler
from pipeline.training.patches import TrainingVolume
from pipeline.training.run import train
from pipeline.training.setup import TrainingFiles
from pipeline.training.trainer import ValidationResult
from tests.helpers import described, load_nifti, ras_affine, synthetic_head, write_nifti
from tests.small_training import any_ratio_generator, make_trainer, tiny_generator, tiny_settings

SIDE = 72
SHAPES = ("gaussian", "rect")
STEPS = (slice_profile.Parameters(), decimation.Parameters())
FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))


def recipe(**changes: Any) -> Recipe:
    """Return a recipe of a network of any ratio, with slices of relative thickness 0.6 to 1.3 of both shapes."""
    profiles = [{"name": "slice_profile", "profile": shape, "relative_thickness": [0.6, 1.3]} for shape in SHAPES]
    alternatives = [{"operators": [one, {"name": "decimation"}], "noise": "rician"} for one in profiles]
    given = {"ratio_range": [1.5, 4.0], "patch_lr": 16, "degradations": alternatives, "contrast_augmentation": 0.0}
    small = {"steps": 5, "batch_size": 2, "warmup_steps": 2, "learning_rate": 1e-3}
    return Recipe.model_validate_json(json.dumps({**small, **given, **changes}))


def thick_model(shape: tuple[int, ...], factor: float, sigma: float = 0.0, **changes: Any) -> ForwardModel:
    values = {"operators": STEPS, "slice_axis": 2, "spacing_mm": (1.0, 1.0, 1.0), **changes}
    return ForwardModel((1, 1, factor), shape, "rician", sigma, 3, **values)


def a_volume(data: NDArray[np.float32], **changes: Any) -> TrainingVolume:
    slices = tuple(range(data.shape[2]))
    return TrainingVolume(data, np.ones(data.shape, dtype=bool), 2, slices, thick_model(data.shape, 4, **changes))


def texture() -> NDArray[np.float32]:
    """Return a smooth random volume, all of whose voxels differ."""
    noise = np.random.default_rng(0).standard_normal((SIDE,) * 3)
    smooth = ndimage.gaussian_filter(noise, 1.2)
    return np.asarray(0.5 + 0.1 * smooth / smooth.std(), dtype=np.float32)


def located(volume: NDArray, patch: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return the voxel of the first pixel of a patch, and the steps in the volume along its rows and columns."""
    places = [np.argwhere(volume == value)[0] for value in (patch[0, 0], patch[1, 0], patch[0, 1])]
    return places[0], places[1] - places[0], places[2] - places[0]


def simulated(line: NDArray, start: int, ratio: float, width: float, shape: str) -> NDArray:
    """Return a line after acquisition in thick slices and reconstruction, with independent code."""
    fine = np.linspace(-3 * width, 3 * width, 4001)
    profile = np.exp(-((fine / width * FWHM_PER_SIGMA) ** 2) / 2) if shape == "gaussian" else np.abs(fine) < width / 2
    weights = np.array([np.sum(profile[np.rint(fine) == k]) for k in range(-12, 13)])

    def blur(one: NDArray) -> NDArray:
        return ndimage.correlate1d(one.astype(float), weights / weights.sum(), mode="reflect")

    centres = np.arange(start + (ratio - 1) / 2, line.size - ratio / 2, ratio)
    measured = np.interp(centres, np.arange(line.size), blur(line))
    # Sampling as a matrix, and Tikhonov's least squares as an ordinary problem with further rows.
    unit = np.eye(line.size)
    operator = np.array([np.interp(centres, np.arange(line.size), blur(one)) for one in unit]).T
    rows = np.vstack([operator, math.sqrt(PENALTY * MIN_SIGMA) * np.diff(unit, axis=0)])
    values = np.concatenate([measured, np.zeros(line.size - 1)])
    return np.linalg.lstsq(rows, values, rcond=None)[0]


def test_patches_equal_an_independent_simulation_of_thick_slices() -> None:
    volume = texture()
    sampler = AnyRatioSampler([a_volume(volume)], recipe(batch_size=24, noise_sigma_range=[0.0, 0.0]), 1)
    patches = sampler.batch(0)
    assert patches.slices is not None
    ratios = patches.slices[:, 0]
    assert 1.5 <= ratios.min() < 2 and 3.5 < ratios.max() <= 4
    compared, directions = 0, set()
    for measured, reference, (ratio, width) in zip(
        patches.measured[:, 0], patches.reference[:, 0], patches.slices, strict=True
    ):
        corner, down, right = located(volume, reference)
        axis = int(np.flatnonzero(right)[0])
        directions.add(axis)
        columns = corner[axis] + right[axis] * np.arange(16)
        inner = (columns > 6 * ratio) & (columns < SIDE - 6 * ratio)
        row = np.moveaxis(volume, axis, -1)[tuple(np.delete(corner + 5 * down, axis))]
        errors = [
            np.abs(simulated(row, start, float(ratio), float(width), shape)[columns] - measured[5])[inner].max()
            for start in range(math.ceil(ratio))
            for shape in SHAPES
            if inner.any()
        ]
        compared += bool(errors)
        assert not errors or sorted(errors)[0] < 6e-3 < 0.25 * volume.std(), (ratio, width, sorted(errors))
    assert compared > 8
    assert directions == {0, 1, 2}, "slices follow each other in all directions"


def test_patches_have_their_own_operator_and_depend_on_seed_and_step_alone() -> None:
    volumes = [a_volume(texture())]
    first, again = (AnyRatioSampler(volumes, recipe(batch_size=6), 1).batch(3) for _ in range(2))
    np.testing.assert_array_equal(first.measured, again.measured)
    quiet = AnyRatioSampler(volumes, recipe(batch_size=6, noise_sigma_range=[0.0, 0.0]), 1).batch(3)
    found = as_torch(quiet.operator)(torch.from_numpy(quiet.reference)).numpy()
    middle = (..., slice(7, 9))
    assert np.abs(found - quiet.measured)[middle].mean() < 0.2 * np.abs(quiet.reference - quiet.measured)[middle].mean()
    assert first.part(slice(2, 4)).slices.shape == (2, 2)  # pyright: ignore[reportOptionalMemberAccess]


def test_neighbouring_planes_are_those_beside_the_reference() -> None:
    volume = texture()
    given = recipe(batch_size=40, noise_sigma_range=[0.0, 0.0], neighbours=1)
    patches = AnyRatioSampler([a_volume(volume)], given, 1).batch(0)
    operator, steps, middle = as_torch(patches.operator), np.arange(16), slice(7, 9)
    distances = []
    shifted = {distance: np.zeros_like(patches.reference) for distance in range(-3, 4)}
    for place, reference in enumerate(patches.reference[:, 0]):
        corner, down, right = located(volume, reference)
        normal = np.cross(np.abs(down), np.abs(right))
        grid = corner + steps[:, None, None] * down + steps[None, :, None] * right
        for distance, planes in shifted.items():
            planes[place, 0] = volume[tuple(np.clip(grid + distance * normal, 0, SIDE - 1).transpose(2, 0, 1))]
    expected = {one: operator(torch.from_numpy(planes)).numpy()[:, 0] for one, planes in shifted.items()}
    for place in range(40):
        before, centre, after = patches.measured[place, ..., middle]
        edge = np.abs(expected[0][place][:, middle] - centre).mean()  # the operator of a patch ends at its edges
        pairs = {one: (expected[-one][place], found[place]) for one, found in expected.items()}
        errors = {
            one: max(np.abs(pair[0][:, middle] - before).mean(), np.abs(pair[1][:, middle] - after).mean())
            for one, pair in pairs.items()
        }
        distances.append(min(errors, key=lambda one: errors[one]))
        assert errors[distances[-1]] < 3 * edge + 1e-3
    assert set(distances) >= {-2, -1, 0, 1, 2}


def test_background_of_thick_slices_is_removed_where_they_see_nothing_else() -> None:
    volume = texture()
    volume[:, :, :36] = 0
    whole = a_volume(volume)
    masked = TrainingVolume(volume, volume > 0, 2, whole.slices[36:], whole.model)
    # Rician noise of 0.05 has a mean of 0.063 in the background.
    means = []
    for probability in (0.0, 1.0):
        settings = {"batch_size": 24, "noise_sigma_range": [0.05, 0.05], "background_augmentation": probability}
        patches = AnyRatioSampler([masked], recipe(**settings), 2).batch(0)
        far = np.asarray(ndimage.binary_erosion(patches.reference == 0, np.ones((1, 1, 5, 5))), dtype=bool)
        means.append(patches.measured[far].mean())
    assert means[0] > 0.04
    assert abs(means[1]) < 0.02


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (a_volume(np.ones((72, 72, 72), np.float32), spacing_mm=(1.0, 1.0, 3.0)), "1 x 1 x 3 mm"),
        (a_volume(np.ones((72, 12, 12), np.float32)), "at least 16 and 24"),
    ],
)
def test_references_must_be_isotropic_and_large_enough(volume: TrainingVolume, words: str) -> None:
    with pytest.raises(UserError, match=words):
        AnyRatioSampler([volume], recipe(), 1)


def test_a_network_without_effect_returns_reconstructed_lines() -> None:
    network = any_ratio_generator().eval()
    assert network.factors == (1, 1)
    for weight in network.network.conv_last.parameters():  # pyright: ignore[reportAttributeAccessIssue]
        torch.nn.init.zeros_(weight)
    lr = np.random.default_rng(1).random((9, 10, 11), dtype=np.float32)
    model = thick_model((9, 10, 40), 3.7)
    restored = restore_volume(network, lr, model.factors, 2, Infer(), 0.02, model=model)
    assert restored.shape == model.padded_shape == (9, 10, 41)
    expected = apply_along_axes([None, None, deconvolution(model, 0.02)], lr)
    np.testing.assert_allclose(restored, expected, atol=1e-5)
    again = apply_along_axes(model.terms[0], expected)
    assert np.sqrt(np.mean((again - lr) ** 2)) < 0.2 * lr.std(), "agrees with the slices"


def test_the_network_is_given_spacing_and_thickness_of_the_slices() -> None:
    network = any_ratio_generator().eval()
    model = thick_model((8, 8, 37), 3.7, spacing_mm=(0.5, 0.5, 0.5))
    assert slice_sampling(model) == pytest.approx((3.7, 3.7))
    thin_steps = (slice_profile.Parameters(thickness_mm=1.0), decimation.Parameters())
    thin = thick_model((8, 8, 37), 3.7, spacing_mm=(0.5,) * 3, operators=thin_steps)
    assert slice_sampling(thin) == pytest.approx((3.7, 2.0))
    image = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        bound = network.for_slices(slice_sampling(model))(image)
        assert torch.equal(bound, network(image, None, torch.tensor([[3.7, 3.7]])))
        assert not torch.equal(bound, network.for_slices(slice_sampling(thin))(image))
        with pytest.raises(ValueError, match="requires spacing and thickness"):
            network(image)
    lr = np.random.default_rng(1).random((8, 8, 10), dtype=np.float32)
    results = [restore_volume(network, lr, one.factors, 2, Infer(), 0.0, model=one) for one in (model, thin)]
    assert not np.array_equal(results[0], results[1])
    fixed = tiny_generator(along="columns")
    assert fixed.for_slices(slice_sampling(model)) is fixed
    with pytest.raises(UserError, match="whole factors"):
        restore_volume(fixed, lr, model.factors, 2, Infer(), 0.0, model=model)


def test_an_exported_network_has_spacing_and_thickness_as_inputs(tmp_path: Path) -> None:
    save_generator(tmp_path / "any.safetensors", any_ratio_generator())
    files = ("--model", str(tmp_path / "any.safetensors"), "--output", str(tmp_path / "any.onnx"))
    assert main(["export", *files]) == 0, "results of ONNX Runtime equal those of torch"
    assert [one.name for one in onnx.load(tmp_path / "any.onnx").graph.input] == ["image", "sigma", "slices"]


VALIDATED = ValidationResult({"psnr": 20.0}, 1.0, torch.zeros(1, 4, 4))


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    settings = tiny_settings(checkpoint_every=2)
    sampler = AnyRatioSampler([a_volume(texture())], recipe(), 1)

    def trainer(folder: str) -> Any:
        given = {"generator": any_ratio_generator(), "sampler": sampler, "validation": lambda _: VALIDATED}
        return make_trainer(tmp_path / folder, recipe(), settings, **given)

    whole, interrupted = trainer("whole").run(), trainer("part")
    for _ in range(4):
        interrupted.take_step()
        interrupted._finish_step()
    resumed = trainer("part").run()
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def head_image(shape: tuple[int, int, int], seed: int, split: str) -> Image:
    data = synthetic_head(shape, seed=seed) / np.float32(1000)
    facts = {"id": f"head{seed}", "subject": str(seed), "split": split, "slice_axis": 2, "plane": "axial"}
    facts = {**facts, "slices": [0, shape[2]], "foreground_slices": list(range(4, shape[2] - 4))}
    return described(Image(data, ras_affine(), masks={"foreground": data > 0.1}), **facts)


def test_a_trained_network_restores_slices_of_another_ratio_onto_the_right_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for seed, split in ((0, "train"), (1, "val")):
        head = head_image((40, 44, 36), seed, split)
        paths += [tmp_path / f"{split}.hr.safetensors", tmp_path / f"{split}.lr.safetensors"]
        write_image(paths[-2], head)
        write_image(paths[-1], degrade(head, thick_model((40, 44, 36), 3.3, 0.02)))
    source = PackageSource.model_validate(
        {"kind": "package", "project": "p", "version": "1", "file": "f", "sha256": "0" * 64, "title": "none"}
    )
    monkeypatch.setattr("pipeline.training.validation.VALIDATION_SLICES", 2)
    output = tmp_path / "models" / "thick"
    settings = recipe(starts_from="scratch", architecture="fast_edsr", blocks=1, features=8)
    hr, lr, val_hr, val_lr = ([path] for path in paths)
    files = TrainingFiles(hr, lr, val_hr, val_lr)
    train(files, settings, tiny_settings(), source, 1, "cpu", output, tmp_path / "work", "code")
    network = load_generator(output / "generator.safetensors")
    assert network.shape.slice_maps
    assert network.record.direction == "through_plane"
    assert len(network.record.consistency_weights) > 1
    assert network.record.domain is not None
    assert network.record.domain.voxel_mm == pytest.approx((1.5, 4.0))
    assert "across thick slices of any ratio" in (output / "model_card.md").read_text()

    data = synthetic_head((30, 32, 11), texture=0.0)
    affine = ras_affine((0.9, 0.9, 3.33))
    scan, result = write_nifti(tmp_path / "scan.nii.gz", data, affine), tmp_path / "fine.nii.gz"
    model = str(output / "generator.safetensors")
    assert (
        main(["apply", str(scan), "--model", model, "--output", str(result), "--thickness-mm", "3.33", "--uncertainty"])
        == 0
    )
    fine = load_nifti(result)
    assert fine.shape == (30, 32, 40)
    np.testing.assert_allclose(fine.header.get_zooms(), 0.9, rtol=1e-5)
    corner = fine.affine @ [-0.5, -0.5, -0.5, 1]
    np.testing.assert_allclose(corner, affine @ [-0.5, -0.5, -0.5, 1], atol=1e-4)
    assert (tmp_path / "fine.uncertainty.nii.gz").is_file()
