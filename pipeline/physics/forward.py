"""The forward model of a volume: a linear operator along each axis, then noise. It is data, kept as JSON."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.physics.grid import apply_along_axes, coarse_shape, pad_to_multiple


@dataclass(frozen=True)
class ForwardModel:
    """How a low-resolution volume comes about; the same object is rebuilt from its JSON wherever it is needed.

    Attributes:
        operator: name of a module of pipeline.physics.operators.
        factors: high-resolution voxels per low-resolution voxel, one per axis.
        hr_shape: shape of the high-resolution volume, before padding to a multiple of the factors.
        noise: name of a module of pipeline.physics.noise.
        noise_sigma: fraction of the normalised range.
        seed: of the noise of this volume.
    """

    operator: str
    factors: tuple[int, ...]
    hr_shape: tuple[int, ...]
    noise: str
    noise_sigma: float
    seed: int

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ForwardModel:
        """Rebuilds a model from `to_json`'s result."""
        return cls(**{**values, "factors": tuple(values["factors"]), "hr_shape": tuple(values["hr_shape"])})

    def to_json(self) -> dict[str, Any]:
        """Returns plain values that JSON can hold."""
        return asdict(self)

    @property
    def lr_shape(self) -> tuple[int, ...]:
        """Shape of the low-resolution volume."""
        return coarse_shape(self.hr_shape, self.factors)

    @cached_property
    def axis_matrices(self) -> tuple[NDArray[np.float64] | None, ...]:
        """The operator along each axis, of shape (lr size, padded hr size); None where the factor is 1."""
        build = plugins.load("pipeline.physics.operators", self.operator).axis_matrix
        sizes = zip(self.lr_shape, self.factors, strict=True)
        return tuple(None if factor == 1 else build(size * factor, factor) for size, factor in sizes)

    def coarsen(self, hr: NDArray[np.floating]) -> NDArray[np.float32]:
        """Applies the operator, without noise, to an array of shape `hr_shape`; gives float32 of shape `lr_shape`."""
        padded = pad_to_multiple(hr, self.factors)
        return apply_along_axes(self.axis_matrices, padded).astype(np.float32)

    def add_noise(
        self, lr: NDArray[np.float32], generator: np.random.Generator, sigma: float | None = None
    ) -> NDArray[np.float32]:
        """Adds this model's noise, drawn from `generator`, to a low-resolution array of any shape.

        Args:
            lr: noiseless low-resolution image.
            generator: source of the random numbers.
            sigma: standard deviation of the noise; None takes this model's own.
        """
        add = plugins.load("pipeline.physics.noise", self.noise).add_noise
        return add(lr, self.noise_sigma if sigma is None else sigma, generator)

    def expected_value(self, lr: NDArray[np.floating], sigma: float | None = None) -> NDArray[np.floating]:
        """Returns the mean over the noise of what is measured where the noiseless low-resolution image is `lr`."""
        expected = plugins.load("pipeline.physics.noise", self.noise).expected_value
        return expected(lr, self.noise_sigma if sigma is None else sigma)

    def measure(self, hr: NDArray[np.floating]) -> NDArray[np.float32]:
        """Returns the low-resolution volume with the one noise draw that `seed` stands for."""
        return self.add_noise(self.coarsen(hr), np.random.default_rng(self.seed))

    def describe(self) -> str:
        """Returns the model in words, for reports."""
        factors = " x ".join(str(factor) for factor in self.factors)
        words = f"{self.operator.replace('_', ' ')} by {factors} along the axes x, y, z"
        return f"{words}; {self.noise} noise, standard deviation {self.noise_sigma:.1%} of the normalised range"


def volume_seed(root_seed: int, volume_id: str) -> int:
    """Returns the seed of a volume's noise: it depends on the run's seed and the volume's name, not on its order."""
    digest = hashlib.sha256(f"{root_seed}/{volume_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
