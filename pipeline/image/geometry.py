"""Orientations: conversion to canonical RAS order, and back to the order of the file."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Orientation:
    """How a file's axes lie: for every axis the RAS axis it follows, and whether it runs along or against it."""

    axes: tuple[int, ...]
    flips: tuple[int, ...]

    @classmethod
    def of_affine(cls, affine: NDArray[np.float64]) -> Orientation:
        """Find the orientation nearest to an affine of shape (4, 4)."""
        pairs = nib.orientations.io_orientation(affine)
        return cls(tuple(int(axis) for axis in pairs[:, 0]), tuple(int(flip) for flip in pairs[:, 1]))

    @property
    def code(self) -> str:
        """Three letters such as "RAS" or "LIA": where each axis of the file runs to."""
        return "".join(nib.orientations.ornt2axcodes(self._table()))

    def _table(self) -> NDArray[np.float64]:
        return np.column_stack([self.axes, self.flips]).astype(float)

    def to_canonical(self, data: NDArray, affine: NDArray[np.float64]) -> tuple[NDArray, NDArray[np.float64]]:
        """Reorder a file's array (x, y, z) and affine to RAS."""
        return _reorder(data, affine, self._table())

    def from_canonical(self, data: NDArray, affine: NDArray[np.float64]) -> tuple[NDArray, NDArray[np.float64]]:
        """Reorder a RAS array and affine to this orientation."""
        canonical = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
        return _reorder(data, affine, nib.orientations.ornt_transform(canonical, self._table()))


def _reorder(data: NDArray, affine: NDArray, table: NDArray) -> tuple[NDArray, NDArray[np.float64]]:
    moved = nib.orientations.apply_orientation(data, table)
    return moved, affine @ nib.orientations.inv_ornt_aff(table, data.shape)


RAS = Orientation((0, 1, 2), (1, 1, 1))
"""Canonical orientation: axes run to the right, the front and the top."""
