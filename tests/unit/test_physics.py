"""Test forward models against independent computations."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchio.transforms.augmentation.intensity.random_bias_field import BiasField

from pipeline.config.load import read_run
from pipeline.config.sections import Degrade
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.forward import ForwardModel, drawn_model, volume_seed
from pipeline.physics.grid import (
    apply_along_axes,
    apply_terms,
    coarse_affine,
    coarse_shape,
    crop_to,
    cuts,
    fine_affine,
    pad_to_multiple,
)
from pipeline.physics.noise import electron, poisson_gaussian
from pipeline.physics.operators import airy_psf, binning, decimation, gaussian_psf, kspace_truncation, slice_profile
from pipeline.physics.operators.kspace_truncation import Parameters
from pipeline.physics.shading import ORDER, draw_coefficients, draw_field, field
from pipeline.physics.torch_operator import as_torch
from tests.helpers import CHECKOUT, configuration, described

SIZES = [(12, 2), (12, 3), (12, 4), (18, 2), (20, 4), (15, 3), (15, 5), (9, 3), (8, 8), (16, 8), (256, 4)]


def axis_matrix(size: int, factor: int) -> np.ndarray:
    return kspace_truncation.axis_matrix(size, factor, None, Parameters())


def trigonometric_sum(samples: np.ndarray, factor: int) -> np.ndarray:
    """Evaluate the trigonometric interpolant, truncated at the coarse Nyquist frequency, at the cell centres.

    A direct sum over frequencies of both signs with coefficients from torch; a frequency on the edge counts half.
    """
    size = samples.size
    coarse = size // factor
    coefficients = torch.fft.fft(torch.from_numpy(samples)).numpy() / size
    centres = np.arange(coarse) * factor + (factor - 1) / 2
    result: np.ndarray = np.zeros(coarse, dtype=complex)
    for frequency in range(-(coarse // 2), coarse // 2 + 1):
        weight = 0.5 if 2 * abs(frequency) == coarse else 1.0
        result += weight * coefficients[frequency % size] * np.exp(2j * np.pi * frequency * centres / size)
    np.testing.assert_allclose(np.imag(result), 0, atol=1e-12)
    return np.real(result)


@pytest.mark.parametrize(("size", "factor"), SIZES)
def test_truncation_matches_trigonometric_sum_at_cell_centres(size: int, factor: int) -> None:
    samples = np.random.default_rng(size).standard_normal(size)
    np.testing.assert_allclose(axis_matrix(size, factor) @ samples, trigonometric_sum(samples, factor), atol=1e-12)


@pytest.mark.parametrize(("size", "factor"), SIZES)
def test_truncation_preserves_constants_and_mean(size: int, factor: int) -> None:
    matrix = axis_matrix(size, factor)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix.mean(axis=0), 1 / size, atol=1e-12)


@pytest.mark.parametrize(("size", "factor"), SIZES)
def test_truncation_commutes_with_reflection(size: int, factor: int) -> None:
    matrix = axis_matrix(size, factor)
    np.testing.assert_allclose(matrix[::-1, ::-1], matrix, atol=1e-12)


def test_low_frequency_is_sampled_exactly_and_high_frequency_removed() -> None:
    size, factor = 64, 4
    positions, centres = np.arange(size), np.arange(16) * 4 + 1.5
    slow, fast = (lambda x: np.cos(2 * np.pi * 5 * x / size + 0.3)), (lambda x: np.cos(2 * np.pi * 11 * x / size))
    matrix = axis_matrix(size, factor)
    np.testing.assert_allclose(matrix @ slow(positions), slow(centres), atol=1e-12)
    np.testing.assert_allclose(matrix @ fast(positions), 0, atol=1e-12)


def test_axes_are_coarsened_independently() -> None:
    data = np.random.default_rng(0).standard_normal((8, 9, 10))
    matrices = (axis_matrix(8, 4), None, axis_matrix(10, 2))
    expected = np.einsum("ai,bk,ijk->ajb", matrices[0], matrices[2], data)
    np.testing.assert_allclose(apply_along_axes(matrices, data), expected, atol=1e-12)


def test_indivisible_sizes_are_padded_at_high_end_and_cropped() -> None:
    data = np.arange(2 * 5 * 7).reshape(2, 5, 7)
    padded = pad_to_multiple(data, (1, 4, 3))
    assert padded.shape == (2, 8, 9)
    assert coarse_shape(data.shape, (1, 4, 3)) == (2, 2, 3)
    np.testing.assert_array_equal(padded[:, 5:, :7], np.repeat(data[:, -1:], 3, axis=1))
    np.testing.assert_array_equal(crop_to(padded, data.shape), data)


def test_affines_of_coarse_and_fine_grids() -> None:
    affine = np.array([[0, -2.0, 0, 5], [1.5, 0, 0.1, -7], [0, 0, 3, 11], [0, 0, 0, 1]])
    coarse = coarse_affine(affine, (4, 1, 3))
    for index in np.ndindex(2, 2, 2):
        centre = [4 * index[0] + 1.5, index[1], 3 * index[2] + 1]
        np.testing.assert_allclose(coarse @ [*index, 1], affine @ [*centre, 1])
    np.testing.assert_allclose(fine_affine(coarse, (4, 1, 3)), affine, atol=1e-12)


def a_model(**changes: object) -> ForwardModel:
    values = {"factors": (2, 2, 1), "hr_shape": (9, 8, 3), "noise": "rician", "noise_sigma": 0.1, "seed": 7}
    return ForwardModel(**{**values, **changes})  # pyright: ignore[reportArgumentType]


THICK = slice_profile.Parameters(thickness_mm=3.0)
RANGED = slice_profile.Parameters(thickness_mm=(2.0, 6.0))
MICROSCOPE = (airy_psf.Parameters(numerical_aperture=0.5), binning.Parameters())
MODELS = {
    "k-space": a_model(),
    "thick slices": a_model(operators=(THICK, kspace_truncation.Parameters()), spacing_mm=(1.0, 1.0, 1.5)),
    "across": a_model(operators=(THICK, binning.Parameters()), factors=(1, 1, 3), spacing_mm=(1.0, 1.0, 1.0)),
    "real factors": a_model(factors=(2.5, 1.2, 1)),
    "real across": a_model(operators=(THICK, decimation.Parameters()), factors=(1, 1, 1.5), spacing_mm=(1.0, 1.0, 2.0)),
    "microscope": a_model(operators=MICROSCOPE, spacing_mm=(2e-4, 3e-4, 1e-3), noise="poisson_gaussian"),
    "electrons": a_model(
        noise="electron", noise_parameters=electron.Parameters(jitter_pixels=0.5), slice_axis=0, factors=(1, 2, 2)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_model_rebuilt_from_json_gives_identical_result(name: str) -> None:
    model = MODELS[name]
    again = ForwardModel.from_json(json.loads(json.dumps(model.to_json())))
    data = np.random.default_rng(0).random((9, 8, 3))
    assert again == model
    np.testing.assert_array_equal(again.simulate(data), model.simulate(data))
    assert model.simulate(data).shape == model.lr_shape == coarse_shape((9, 8, 3), model.factors)
    assert model.simulate(data).dtype == np.float32


def test_factors_are_recorded_as_they_are_written() -> None:
    written = json.loads(json.dumps(a_model(factors=(4.0, 5.5556, 1)).to_json()))["factors"]
    assert [(type(factor), factor) for factor in written] == [(int, 4), (float, 5.5556), (int, 1)]
    assert a_model(factors=(4.0, 5.5556, 1)).describe().startswith("k-space truncation by 4 x 5.56 x 1 along")
    assert a_model(factors=(4.0, 2, 1)).whole_factors == (4, 2, 1)
    with pytest.raises(
        UserError, match=r"degraded by 4 x 5\.56 x 1, but networks enlarge by whole factors; use a base"
    ):
        _ = a_model(factors=(4.0, 5.5556, 1)).whole_factors


def test_noise_depends_only_on_seed_and_volume_name() -> None:
    data = np.zeros((9, 8, 3))
    assert not np.array_equal(a_model(seed=1).simulate(data), a_model(seed=2).simulate(data))
    seeds = {volume_seed(root, name) for root in (0, 1) for name in ("a", "b")}
    assert len(seeds) == 4
    assert volume_seed(2026, "mni152") == volume_seed(2026, "mni152") < 2**32


def test_simulation_without_noise_is_linear_operator() -> None:
    data = np.random.default_rng(0).random((9, 8, 3))
    model = a_model(noise="none")
    np.testing.assert_array_equal(model.simulate(data), model.coarsen(data))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_preserves_constants(name: str) -> None:
    np.testing.assert_allclose(MODELS[name].coarsen(np.full((9, 8, 3), 0.7)), 0.7, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_slice_equals_slice_of_whole_volume(name: str) -> None:
    model = MODELS[name]
    data = np.random.default_rng(0).random((9, 8, 3))
    axis = cuts(model.factors, model.slice_axis)[0].normal
    chosen = [0, 2]
    expected = np.take(model.coarsen(data), chosen, axis)
    np.testing.assert_allclose(model.coarsen_slices(data, axis, chosen), expected, atol=1e-6)


def test_operators_are_applied_in_order() -> None:
    blur, cut = gaussian_psf.Parameters(fwhm_voxels=3.0), kspace_truncation.Parameters()
    data = np.random.default_rng(0).random((12, 8, 2))
    first = gaussian_psf.axis_matrix(12, 2, None, blur), gaussian_psf.axis_matrix(8, 2, None, blur)
    blurred = np.einsum("ai,bj,ijk->abk", *first, data)
    expected = np.einsum("ai,bj,ijk->abk", axis_matrix(12, 2), axis_matrix(8, 2), blurred)
    found = a_model(operators=(blur, cut), hr_shape=(12, 8, 2)).coarsen(data)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # On the coarsened grid, three voxels correspond to six fine voxels.
    later = a_model(operators=(cut, blur), hr_shape=(12, 8, 2)).coarsen(data)
    coarse = np.einsum("ai,bj,ijk->abk", axis_matrix(12, 2), axis_matrix(8, 2), data)
    expected = np.einsum("ai,bj,ijk->abk", *(gaussian_psf.axis_matrix(size, 1, None, blur) for size in (6, 4)), coarse)
    np.testing.assert_allclose(later, expected, atol=1e-6)


def test_lengths_are_converted_with_current_voxel_size() -> None:
    blur = gaussian_psf.Parameters(fwhm_mm=3.0)
    data = np.random.default_rng(0).random((24, 24, 2))
    model = a_model(operators=(blur, binning.Parameters()), hr_shape=(24, 24, 2), spacing_mm=(1.0, 1.5, 5.0))
    wide, narrow = (gaussian_psf.Parameters(fwhm_voxels=width) for width in (3.0, 2.0))
    rows, columns = gaussian_psf.axis_matrix(24, 2, None, wide), gaussian_psf.axis_matrix(24, 2, None, narrow)
    mean = binning.axis_matrix(24, 2, None, binning.Parameters())
    np.testing.assert_allclose(
        model.coarsen(data), np.einsum("ai,bj,ijk->abk", mean @ rows, mean @ columns, data), atol=1e-6
    )


def test_lengths_require_voxel_size() -> None:
    model = a_model(operators=(gaussian_psf.Parameters(fwhm_um=3.0), binning.Parameters()))
    with pytest.raises(UserError, match=r"gaussian_psf\.fwhm_um is a length.*voxel_um"):
        model.coarsen(np.zeros((9, 8, 3)))


@pytest.mark.parametrize("steps", [(), (THICK,), (binning.Parameters(), kspace_truncation.Parameters())])
def test_exactly_one_operator_must_coarsen(steps: tuple) -> None:
    with pytest.raises(UserError, match="exactly one operator"):
        _ = a_model(operators=steps, spacing_mm=(1.0, 1.0, 1.0)).terms


# Ranges


def ranged(seed: int) -> ForwardModel:
    noise = poisson_gaussian.Parameters(read_noise_electrons=(1.0, 5.0))
    steps = (RANGED, kspace_truncation.Parameters())
    return drawn_model((2, 2, 1), (9, 8, 3), 0.1, seed, steps, noise, 2, (1.0, 1.0, 1.0))


def test_parameters_are_drawn_once_per_volume_and_recorded_with_ranges() -> None:
    models = [ranged(seed) for seed in range(50)]
    widths = np.array([model.operators[0].thickness_mm for model in models])  # pyright: ignore[reportAttributeAccessIssue]
    assert 2 <= widths.min() < 2.5
    assert 5.5 < widths.max() <= 6
    assert ranged(3) == models[3] != models[4]
    again = ForwardModel.from_json(json.loads(json.dumps(models[3].to_json())))
    assert again == models[3]
    assert again.to_json()["operators"][0]["thickness_mm"] == widths[3]
    assert again.to_json()["operator_ranges"][0]["thickness_mm"] == [2.0, 6.0]


def test_parameters_can_be_redrawn_for_patches() -> None:
    model = ranged(0)
    others = [model.redrawn(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert others[0] == others[1]
    assert len({model.operators, others[0].operators, others[2].operators}) == 3
    assert others[0].noise_parameters != model.noise_parameters
    assert a_model().redrawn(np.random.default_rng(0)) == a_model()


# Configuration


def an_image(unit: str = "mm", slice_axis: int = 2) -> Image:
    data = np.random.default_rng(0).random((12, 8, 6)).astype(np.float32)
    image = Image(data, np.diag([0.5, 1.0, 2.0, 1.0]), unit=unit)
    return described(image, id="a", slice_axis=slice_axis)


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("in_plane", (2, 1, 2)), ("through_plane", (1, 2, 1)), ("isotropic", (2, 2, 2))],
)
def test_direction_selects_coarsened_axes(direction: str, expected: tuple[int, ...]) -> None:
    image = an_image(slice_axis=1)
    model = forward_model(image, Degrade.model_validate({"direction": direction, "factor": 2, "noise": "none"}), 0)
    assert model.factors == expected
    low = degrade(image, model)
    assert low.data.shape == coarse_shape((12, 8, 6), expected)
    np.testing.assert_allclose(low.spacing, np.multiply([0.5, 1.0, 2.0], expected))


def test_model_records_voxel_size() -> None:
    assert forward_model(an_image("mm"), Degrade(), 0).spacing_mm == (0.5, 1.0, 2.0)
    assert forward_model(an_image("um"), Degrade(), 0).spacing_mm == pytest.approx((5e-4, 1e-3, 2e-3))
    assert forward_model(an_image("pixel"), Degrade(), 0).spacing_mm is None


BINNING = {"name": "binning"}
WRONG = {
    "unknown step": ({"operators": [{"name": "binnig"}]}, ("degrade.operators[0].name", "did you mean 'binning'?")),
    "step without a name": ({"operators": [{"thickness_mm": 3}]}, ("operators[0].name: is missing", "airy_psf")),
    "unknown parameter": (
        {"operators": [{"name": "slice_profile", "thicknes_mm": 3}, BINNING]},
        ("degrade.operators[0].thicknes_mm: unknown key", "mean 'thickness_mm'?"),
    ),
    "out of range": (
        {"operators": [{"name": "slice_profile", "thickness_mm": 300}, BINNING]},
        ("degrade.operators[0].thickness_mm: 300", "number > 0, <= 50"),
    ),
    "range out of range": (
        {"operators": [{"name": "slice_profile", "thickness_mm": [3, 300]}, BINNING]},
        ("degrade.operators[0].thickness_mm[1]: 300", "number > 0, <= 50"),
    ),
    "falling range": (
        {"operators": [{"name": "slice_profile", "thickness_mm": [5, 3]}, BINNING]},
        ("degrade.operators[0].thickness_mm: [5, 3]", "the range must be ascending"),
    ),
    "two widths": (
        {"operators": [{"name": "gaussian_psf", "fwhm_mm": 1, "fwhm_um": 1}, BINNING]},
        ("degrade.operators[0]", "exactly one way"),
    ),
    "nothing coarsens": ({"operators": [{"name": "slice_profile"}]}, ("degrade.operators", "found: none")),
    "unknown parameter of the noise": (
        {"noise": "poisson_gaussian", "noise_parameters": {"read_noise": 3}},
        ("degrade.noise_parameters", "did you mean 'read_noise_electrons'?"),
    ),
    "parameter of the noise out of range": (
        {"noise": "poisson_gaussian", "noise_parameters": {"read_noise_electrons": 300}},
        ("degrade.noise_parameters", "read_noise_electrons: 300", "number >= 0, <= 100"),
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_invalid_forward_model_is_reported(kind: str) -> None:
    values, expected = WRONG[kind]
    with pytest.raises(UserError) as caught:
        read_run(configuration(degrade=values))
    message = str(caught.value)
    assert "a mistake:" in message
    for part in expected:
        assert part in message


def test_configuration_is_validated_without_numpy() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('numpy', 'scipy', 'torch')))\n"
        "from pipeline.config.load import read_section\n"
        "from pipeline.config.sections import Degrade\n"
        'step = \'{"name": "airy_psf"}, {"name": "binning"}\'\n'
        'print(read_section(Degrade, \'{"operators": [\' + step + \'], "noise": "electron"}\').noise_settings.name)'
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert done.stdout.strip() == "electron"


def test_description_of_model_contains_units() -> None:
    settings = Degrade(operators=(THICK, kspace_truncation.Parameters(window="hamming")), noise_sigma=0.03)
    words = forward_model(an_image(), settings, 0).describe()
    assert words == (
        "Gaussian slice profile with a full width at half maximum of 3 mm, then k-space truncation, Hamming window by "
        "4 x 4 x 1 along the axes x, y and z, "
        "then Rician noise with a standard deviation of 3.0 % of the normalised range"
    )
    assert ForwardModel((2, 2), (4, 4), "none").describe().endswith("without noise")


# PyTorch operator


@pytest.mark.parametrize("name", MODELS)
def test_torch_operator_matches_numpy(name: str) -> None:
    model = MODELS[name]
    data = np.random.default_rng(0).random(model.padded_shape)
    operator = as_torch(model.terms, dtype=torch.float64)
    found = operator(torch.from_numpy(data)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found, apply_terms(model.terms, data), atol=1e-6)


def test_torch_operator_is_differentiable() -> None:
    model = replace(MODELS["microscope"], hr_shape=(6, 8), factors=(2, 2), spacing_mm=(2e-4, 3e-4))
    assert len(model.terms) > 1
    operator = as_torch(model.terms, dtype=torch.float64)
    image = torch.rand(2, 1, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(operator, (image,))


def test_images_of_batch_may_have_different_operators() -> None:
    matrices = [np.random.default_rng(seed).random((2, 3, 6)) for seed in (0, 1)]
    images = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    operator = as_torch([(np.stack([m[0] for m in matrices])[:, None], np.stack([m[1] for m in matrices])[:, None])])
    for index in (0, 1):
        rows, columns = matrices[index]
        expected = rows @ images[index, 0].numpy() @ columns.T
        np.testing.assert_allclose(operator(images)[index, 0].numpy(), expected, rtol=1e-5)


def test_torch_operator_uses_full_precision_under_autocast() -> None:
    operator = as_torch(a_model(hr_shape=(64, 64), factors=(4, 4)).terms)
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(operator(image), operator(image.float()))


# Slice orientations


def test_orientations_of_slices() -> None:
    assert cuts((4, 4, 1), 2) == ((2, 0, 1),)
    assert cuts((1, 4, 1), 1) == ((0, 2, 1), (2, 0, 1))
    assert cuts((4, 4, 4), 2) == ((2, 0, 1), (0, 1, 2), (1, 0, 2))
    with pytest.raises(UserError, match="single factor"):
        cuts((4, 4, 2), 2)


# Shading


def test_bias_field_is_smooth_and_bounded() -> None:
    for seed in range(20):
        found = draw_field((40, 50), 0.4, np.random.default_rng(seed))
        assert found.dtype == np.float32
        assert 0.6 - 1e-6 <= found.min() <= 1 <= found.max() * (1 + 1e-6) <= 1 / 0.6 + 1e-5
        assert np.abs(np.diff(found, 2, axis=0)).max() < 0.02
    strongest = field((40, 50), draw_coefficients(np.random.default_rng(0)), 0.4)
    assert max(1 - strongest.min(), 1 - 1 / strongest.max()) == pytest.approx(0.4, abs=1e-6)


def test_bias_field_matches_torchio() -> None:
    """TorchIO's random bias field is also the exponential of a polynomial in coordinates from -1 to 1."""
    values = np.random.default_rng(0).uniform(-0.3, 0.3, (ORDER + 1, ORDER + 1))
    powers = [(i, j, k) for i in range(4) for j in range(4 - i) for k in range(4 - i - j)]
    coefficients = np.zeros_like(values)
    for i, j, _ in powers:
        coefficients[i, j] = values[i, j]
    listed = [coefficients[i, j] if k == 0 else 0.0 for i, j, k in powers]
    expected = np.log(BiasField.generate_bias_field(torch.ones(1, 20, 24, 1), ORDER, listed)[:, :, 0])
    found = np.log(field((20, 24), coefficients, 0.2))
    np.testing.assert_allclose(found / np.abs(found).max(), expected / np.abs(expected).max(), atol=1e-5)
