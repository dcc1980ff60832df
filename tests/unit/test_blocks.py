"""What works on arrays in blocks or by runs gives what scipy gives for the whole, in whatever order the memory is."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.image.blocks import contiguous, in_memory_order, memory_order, slices_first, undo_order
from pipeline.image.foreground import fill_holes, foreground_mask, largest_part
from pipeline.image.smoothing import gaussian
from pipeline.physics.grid import apply_along_axes, pad_to_multiple
from tests.helpers import synthetic_head

ORDERS = list(permutations(range(3)))
ONE_ROUNDING = 2.0**-23


def in_order(data: NDArray, order: tuple[int, ...]) -> NDArray:
    """The same array with its axes in another order in memory."""
    return undo_order(np.ascontiguousarray(data.transpose(order)), order)


def masks() -> list[NDArray[np.bool_]]:
    generator = np.random.default_rng(0)
    return [generator.random(generator.integers(1, 9, 3)) < generator.random() for _ in range(200)]


@pytest.mark.parametrize("order", ORDERS)
def test_slices_are_laid_one_after_the_other(order: tuple[int, ...]) -> None:
    data = in_order(np.random.default_rng(0).random((17, 40, 33)), order)[::-1]
    for axis in range(3):
        laid = slices_first(data, axis)
        np.testing.assert_array_equal(laid, data)
        assert np.moveaxis(laid, axis, 0).flags.c_contiguous
        assert slices_first(laid, axis) is laid
    copy = contiguous(data)
    np.testing.assert_array_equal(copy, data)
    assert copy.flags.c_contiguous
    np.testing.assert_array_equal(undo_order(in_memory_order(data), memory_order(data)), data)


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.5])
@pytest.mark.parametrize("order", ORDERS)
def test_smoothing_is_that_of_scipy(order: tuple[int, ...], sigma: float) -> None:
    data = np.random.default_rng(0).normal(300, 100, (41, 3, 57)).astype(np.float32)
    expected = ndimage.gaussian_filter(data, sigma, mode="nearest")
    before = data.copy()
    for one in (in_order(data, order), in_order(data, order)[:, ::-1][:, ::-1]):
        np.testing.assert_allclose(gaussian(one, sigma), expected, rtol=ONE_ROUNDING)
    np.testing.assert_array_equal(data, before)


@pytest.mark.parametrize("still", [0, 1, 2])
def test_an_axis_may_be_left_out_of_the_smoothing(still: int) -> None:
    data = np.random.default_rng(0).normal(300, 100, (41, 3, 57)).astype(np.float32)
    expected = ndimage.gaussian_filter(data, [0.0 if axis == still else 1.0 for axis in range(3)], mode="nearest")
    found = gaussian(data, 1.0, [axis for axis in range(3) if axis != still])
    np.testing.assert_allclose(found, expected, rtol=ONE_ROUNDING)


def test_smoothing_in_many_blocks_and_of_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (300, 200), np.uint8)
    whole = gaussian(picture, 1.0)
    monkeypatch.setattr("pipeline.image.smoothing.BLOCK", 1)
    np.testing.assert_array_equal(gaussian(picture, 1.0), whole)
    expected = ndimage.gaussian_filter(picture.astype(np.float32), 1.0, mode="nearest")
    np.testing.assert_allclose(whole, expected, rtol=ONE_ROUNDING)


def test_the_largest_part_is_that_of_scipy() -> None:
    for mask in masks():
        labels, count = ndimage.label(mask)  # pyright: ignore[reportGeneralTypeIssues]
        sizes = np.bincount(labels.ravel(), minlength=2)[1:]
        np.testing.assert_array_equal(largest_part(mask), (labels == np.argmax(sizes) + 1) & (count > 0))


def test_parts_that_touch_in_every_way_are_one() -> None:
    comb = np.zeros((3, 40, 41), dtype=bool)
    comb[0, :, ::2] = True
    comb[1, -1] = comb[2, 0, 0] = True
    np.testing.assert_array_equal(largest_part(comb)[:2], comb[:2])
    assert not largest_part(comb)[2].any()


@pytest.mark.parametrize("axis", range(3))
def test_holes_are_those_of_scipy(axis: int) -> None:
    for mask in masks():
        slices = [ndimage.binary_fill_holes(one) for one in np.moveaxis(mask, axis, 0)]
        expected = np.moveaxis(np.stack(slices), 0, axis)  # pyright: ignore[reportArgumentType, reportCallIssue]
        np.testing.assert_array_equal(fill_holes(mask, axis), expected)


@pytest.mark.parametrize("order", ORDERS)
def test_a_foreground_does_not_depend_on_the_order_of_the_memory(order: tuple[int, ...]) -> None:
    head = synthetic_head()
    np.testing.assert_array_equal(foreground_mask(in_order(head, order)), foreground_mask(head))
    np.testing.assert_array_equal(foreground_mask(head[::-1])[::-1], foreground_mask(head))


@pytest.mark.parametrize("order", ORDERS)
def test_matrices_along_axes_give_what_sums_give(order: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    data = in_order(generator.random((6, 7, 8), np.float32), order)
    matrices = tuple(generator.random((3, size)) for size in data.shape)
    expected = np.einsum("ai,bj,ck,ijk->abc", *matrices, data)
    result = apply_along_axes(matrices, data)
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    assert memory_order(result) == memory_order(data)
    line = apply_along_axes(matrices[:1], data[:, 0, 0])
    np.testing.assert_allclose(line, matrices[0] @ data[:, 0, 0], rtol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_padding_keeps_the_order_of_the_memory(order: tuple[int, ...]) -> None:
    data = in_order(np.random.default_rng(0).random((6, 7, 8)), order)
    padded = pad_to_multiple(data, (4, 3, 5))
    np.testing.assert_array_equal(padded, np.pad(data, [(0, 2), (0, 2), (0, 2)], mode="edge"))
    assert memory_order(padded) == memory_order(data)
