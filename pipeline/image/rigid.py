"""Rigid transforms between the world coordinates of two scans of one head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import FiniteFloat, TypeAdapter, ValidationError
from scipy.spatial.transform import Rotation

from pipeline.errors import UserError

ORTHONORMAL = 1e-6
"""Maximum deviation of the product of a rotation matrix and its transpose from the identity."""

Vector = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


@dataclass(frozen=True)
class Rigid:
    """A rotation about a centre, then a translation.

    It maps world coordinates of the fixed image (or of the output grid) to world coordinates of the moving scan, both
    in millimetres with the axes right, front and top (RAS): `y = R (x - centre) + centre + translation`. So a grid of
    points x is resampled from the moving scan at the points y.

    Attributes:
        rotation_degrees: rotation vector: its direction is the axis, its length the angle in degrees.
        translation_mm: displacement of the centre.
        centre_mm: fixed point of the rotation, in world coordinates of the fixed image.
    """

    rotation_degrees: Vector = (0.0, 0.0, 0.0)
    translation_mm: Vector = (0.0, 0.0, 0.0)
    centre_mm: Vector = (0.0, 0.0, 0.0)

    @classmethod
    def from_vector(cls, vector: ArrayLike, centre: ArrayLike = (0.0, 0.0, 0.0)) -> Self:
        """Return the transform with six parameters, as an optimiser uses them.

        One degree moves a voxel at 57 mm from the centre by 1 mm, so the parameters of a head are equally scaled.

        Args:
            vector: rotation vector in degrees and translation in mm, shape (6,).
            centre: fixed point of the rotation, shape (3,), in mm.
        """
        values = np.asarray(vector, dtype=np.float64)
        return cls(_vector(values[:3]), _vector(values[3:]), _vector(centre))

    @classmethod
    def from_matrix(cls, matrix: ArrayLike, centre: ArrayLike = (0.0, 0.0, 0.0)) -> Self:
        """Return the transform of a matrix of shape (4, 4), expressed about a centre.

        Raises:
            ValueError: the matrix is not rigid.
        """
        values = np.asarray(matrix, dtype=np.float64)
        turn, point = values[:3, :3], np.asarray(centre, dtype=np.float64)
        if np.abs(turn @ turn.T - np.eye(3)).max() > ORTHONORMAL or np.linalg.det(turn) < 0:
            raise ValueError("the matrix is not a rotation and a translation")
        rotation = Rotation.from_matrix(turn).as_rotvec(degrees=True)
        return cls(_vector(rotation), _vector(values[:3, 3] + turn @ point - point), _vector(point))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the transform that `as_json` wrote.

        Raises:
            UserError: it is not the record of a rigid transform.
        """
        if set(record) != set(asdict(cls())):
            raise UserError(f"a rigid transform has the keys {', '.join(asdict(cls()))}, not {', '.join(record)}.")
        try:
            return TypeAdapter(cls).validate_python(dict(record))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(f"rigid transform, {where}: {first['msg']}; each of its keys has three numbers.") from error

    def as_json(self) -> dict[str, list[float]]:
        """Return the fields as lists of numbers."""
        return {name: list(values) for name, values in asdict(self).items()}

    def vector(self) -> NDArray[np.float64]:
        """Return the rotation vector in degrees and the translation in mm, shape (6,)."""
        return np.array([*self.rotation_degrees, *self.translation_mm])

    def rotation(self) -> NDArray[np.float64]:
        """Return the rotation matrix, shape (3, 3)."""
        return Rotation.from_rotvec(self.rotation_degrees, degrees=True).as_matrix()

    def matrix(self) -> NDArray[np.float64]:
        """Return the matrix from world coordinates of the fixed image to those of the moving scan, shape (4, 4)."""
        result = np.eye(4)
        centre = np.array(self.centre_mm)
        result[:3, :3] = self.rotation()
        result[:3, 3] = centre + self.translation_mm - result[:3, :3] @ centre
        return result

    def apply(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map points of the fixed image to the moving scan, shape (..., 3), in mm."""
        centre = np.array(self.centre_mm)
        return (np.asarray(points, dtype=np.float64) - centre) @ self.rotation().T + centre + self.translation_mm

    def inverse(self) -> Self:
        """Return the transform from the moving scan to the fixed image, about the same centre."""
        back = -(self.rotation().T @ np.array(self.translation_mm))
        return type(self)(_vector(-np.array(self.rotation_degrees)), _vector(back), self.centre_mm)

    def about(self, centre: ArrayLike) -> Self:
        """Return the same transform, expressed about another centre."""
        return self.from_matrix(self.matrix(), centre)

    def __matmul__(self, first: Rigid) -> Self:
        """Return the transform that applies `first` and then this one, about the centre of `first`."""
        return self.from_matrix(self.matrix() @ first.matrix(), first.centre_mm)

    @property
    def angle_degrees(self) -> float:
        """Angle of the rotation."""
        return float(np.linalg.norm(self.rotation_degrees))

    @property
    def shift_mm(self) -> float:
        """Displacement of the centre; the head's, if the transform is expressed about the head's centre."""
        return float(np.linalg.norm(self.translation_mm))


def _vector(values: ArrayLike) -> Vector:
    x, y, z = np.asarray(values, dtype=np.float64).tolist()
    return x, y, z


IDENTITY = Rigid()
