"""Test denoising without a clean image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pipeline.image.image import Image
from pipeline.metrics import psnr
from pipeline.physics.denoised_reference import CANDIDATES, denoised_reference
from tests.helpers import described


def cells(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Dark membranes between bright cells."""
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), (6, 6, 0.5))
    return (0.75 - 0.5 * np.exp(-((texture / texture.std() / 0.4) ** 2))).astype(np.float32)


def noisy(reference: np.ndarray, sigma: float) -> Image:
    data = reference + np.float32(sigma) * np.random.default_rng(9).standard_normal(reference.shape).astype(np.float32)
    facts = {"id": "cells", "slice_axis": 2, "foreground_slices": [0, 1]}
    return described(Image(data, np.eye(4), masks={"foreground": np.ones(reference.shape, bool)}), **facts)


def score(reference: np.ndarray, estimate: np.ndarray) -> float:
    return psnr.per_slice(reference[..., 0], estimate[..., 0], np.ones(reference.shape[:2], bool), 1.0)


@pytest.mark.parametrize("sigma", [0.06, 0.15])
def test_denoised_reference_is_closer_to_clean_image(sigma):
    reference = cells((96, 88, 2), 3)
    image = noisy(reference, sigma)
    result = denoised_reference(image)
    assert score(reference, result.data) > score(reference, image.data) + 4
    # No other setting is much better: masked pixels select like the clean image would.
    by_hand = [
        score(reference, denoiser(image.data[..., 0], **dict(zip(parameters, values, strict=True)))[..., None])
        for denoiser, parameters in CANDIDATES
        for values in zip(*[one if len(one) == 7 else [one[0]] * 7 for one in parameters.values()], strict=True)
    ]
    assert score(reference, result.data) > max(by_hand) - 1.0
    assert result.data.dtype == np.float32
    assert result.data.shape == image.data.shape
    assert np.array_equal(denoised_reference(image).data, result.data)


def test_clean_volume_is_hardly_changed():
    reference = cells((96, 88, 2), 4)
    assert np.std(denoised_reference(noisy(reference, 0.0)).data - reference) < 0.01
