"""The forward model of a volume: linear operators followed by noise, stored as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.config.parameters import PhysicalParameters, plain, shown
from pipeline.errors import UserError
from pipeline.physics.grid import Terms, apply_terms, coarse_shape, pad_to_multiple, padded_shape
from pipeline.physics.linear import OPERATORS, Lattice, compose, without_axis
from pipeline.physics.operators import kspace_truncation

NOISES = "pipeline.physics.noise"

DRAW = 1
"""Seed offset for drawing parameters, which makes them independent of the noise of the same volume."""


@dataclass(frozen=True)
class ForwardModel:
    """Model of the acquisition of a low-resolution volume.

    Attributes:
        factors: high-resolution voxels per low-resolution voxel, one per axis, each at least 1. Whole numbers are int.
        hr_shape: shape of the high-resolution volume, before padding to whole low-resolution voxels.
        noise: name of a module of pipeline.physics.noise.
        noise_sigma: standard deviation of the noise, as a fraction of the normalised range.
        seed: seed of the noise of this volume.
        operators: parameters of the linear operators (modules of pipeline.physics.operators), in order of application.
        noise_parameters: parameters of the noise; None for the module's defaults.
        operator_ranges: the operators as configured, with the ranges from which the parameters in `operators` were
            drawn; None if there are no ranges.
        noise_ranges: the same for the noise.
        slice_axis: axis perpendicular to the slices; 2 for two-dimensional images, which lack this axis.
        spacing_mm: high-resolution voxel spacing along each axis, in mm; None if unknown.
        still_axis: axis along which the image is assumed constant, for non-contiguous slices; None for volumes.
    """

    factors: tuple[float, ...]
    hr_shape: tuple[int, ...]
    noise: str = "none"
    noise_sigma: float = 0.0
    seed: int = 0
    operators: tuple[PhysicalParameters, ...] = (kspace_truncation.Parameters(),)
    noise_parameters: PhysicalParameters | None = None
    operator_ranges: tuple[PhysicalParameters, ...] | None = None
    noise_ranges: PhysicalParameters | None = None
    slice_axis: int = 2
    spacing_mm: tuple[float, ...] | None = None
    still_axis: int | None = None

    def __post_init__(self) -> None:
        """Store factors that are whole numbers as int, as they are written to JSON."""
        object.__setattr__(self, "factors", tuple(plain(factor) for factor in self.factors))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ForwardModel:
        """Rebuild a model from the result of `to_json`."""
        readers: dict[str, Callable[[Any], Any]] = {
            "operators": _steps,
            "operator_ranges": _steps,
            "noise_parameters": _noise,
            "noise_ranges": _noise,
            "factors": tuple,
            "hr_shape": tuple,
            "spacing_mm": tuple,
        }
        read: dict[str, Any] = {
            name: readers[name](value) if name in readers and value is not None else value
            for name, value in values.items()
        }
        return cls(**read)

    def to_json(self) -> dict[str, Any]:
        """Return the model as JSON-compatible values."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @property
    def has_ranges(self) -> bool:
        """Whether any parameter has a range from which `redrawn` draws."""
        return self.operator_ranges is not None or self.noise_ranges is not None

    def redrawn(self, generator: np.random.Generator) -> ForwardModel:
        """Return the model with parameters redrawn from its ranges, or the model itself if it has none."""
        if not self.has_ranges:
            return self
        steps, noise = self.operator_ranges, self.noise_ranges
        return replace(
            self,
            operators=self.operators if steps is None else tuple(step.drawn(generator) for step in steps),
            noise_parameters=self.noise_parameters if noise is None else noise.drawn(generator),
        )

    def with_steps(self, operators: tuple[PhysicalParameters, ...], noise: PhysicalParameters) -> ForwardModel:
        """Return a model of the same grids with other operators and noise; `redrawn` draws from their ranges.

        Args:
            operators: parameters of the linear operators, in order of application.
            noise: parameters of the noise.
        """
        return replace(
            self,
            noise=noise.name,
            operators=operators,
            noise_parameters=noise,
            operator_ranges=operators if any(step.has_ranges for step in operators) else None,
            noise_ranges=noise if noise.has_ranges else None,
        )

    @property
    def lr_shape(self) -> tuple[int, ...]:
        """Shape of the low-resolution volume."""
        return coarse_shape(self.hr_shape, self.factors)

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """Shape of restored volumes: `hr_shape`, padded at the high ends to whole low-resolution voxels."""
        return padded_shape(self.lr_shape, self.factors)

    @property
    def whole_factors(self) -> tuple[int, ...]:
        """The factors, all of which must be whole numbers, as those of networks are.

        Raises:
            UserError: a factor is not a whole number.
        """
        if not all(isinstance(factor, int) for factor in self.factors):
            raise UserError(
                f"the volume was degraded by {describe_factors(self.factors)}, but networks enlarge by whole factors; "
                "use a baseline, or degrade by a whole factor."
            )
        return tuple(int(factor) for factor in self.factors)

    @cached_property
    def terms(self) -> Terms:
        """The linear part: terms of one matrix per axis (LR size, padded HR size), or None for unchanged axes."""
        terms = compose(self.operators, Lattice(self.padded_shape, self.factors, self.spacing_mm, self.slice_axis))
        return terms if self.still_axis is None else without_axis(terms, self.still_axis)

    @property
    def unseen_slices(self) -> list[int]:
        """Indices of the high-resolution slices that contribute nothing to the low-resolution volume."""
        size = self.padded_shape[self.slice_axis]
        seen = np.zeros(size, dtype=bool)
        for term in self.terms:
            matrix = term[self.slice_axis]
            seen |= True if matrix is None else matrix.any(axis=0)
        return [index for index in range(self.hr_shape[self.slice_axis]) if not seen[index]]

    def coarsen(self, hr: NDArray[np.floating]) -> NDArray[np.float32]:
        """Apply the linear part to an array of shape `hr_shape` and return float32 of shape `lr_shape`."""
        return apply_terms(self.terms, pad_to_multiple(hr, self.factors)).astype(np.float32)

    def coarsen_slices(self, hr: NDArray[np.floating], axis: int, chosen: Sequence[int]) -> NDArray[np.float32]:
        """Return selected slices of the result of `coarsen` without computing the others.

        Args:
            hr: array of shape `hr_shape`.
            axis: axis perpendicular to the slices, whose factor is 1.
            chosen: indices of the slices.
        """
        padded = pad_to_multiple(hr, self.factors)
        needed = sorted({*chosen, *(int(index) for one in self.terms for index in _input_slices(one[axis], chosen))})
        selection = np.searchsorted(needed, chosen)
        terms = tuple(
            tuple(
                _submatrix(matrix, chosen, needed, selection) if place == axis else matrix
                for place, matrix in enumerate(matrices)
            )
            for matrices in self.terms
        )
        return apply_terms(terms, np.take(padded, needed, axis)).astype(np.float32)

    def add_noise(
        self, lr: NDArray[np.float32], generator: np.random.Generator, sigma: float | None = None
    ) -> NDArray[np.float32]:
        """Add noise of this model to a low-resolution volume or slice.

        Args:
            lr: noiseless low-resolution volume, or one slice of it.
            generator: random number generator.
            sigma: standard deviation of the noise; None for `noise_sigma`.
        """
        add = plugins.load(NOISES, self.noise).add_noise
        level = self.noise_sigma if sigma is None else sigma
        return self._sliced(lr, lambda image: add(image, level, generator, self.noise_settings))

    def expected_value(self, lr: NDArray[np.floating], sigma: float | None = None) -> NDArray[np.floating]:
        """Return the expected value of the noisy image, given the noiseless low-resolution image `lr`."""
        expected = plugins.load(NOISES, self.noise).expected_value
        level = self.noise_sigma if sigma is None else sigma
        return self._sliced(lr, lambda image: expected(image, level, self.noise_settings))

    def standard_deviation(self, lr: NDArray[np.floating], sigma: float | None = None) -> NDArray[np.float64]:
        """Return the standard deviation of the noisy image, given the noiseless low-resolution image `lr`."""
        deviation = plugins.load(NOISES, self.noise).standard_deviation
        level = self.noise_sigma if sigma is None else sigma
        return self._sliced(lr, lambda image: deviation(image, level, self.noise_settings))

    def _sliced(self, lr: NDArray, function: Callable[[NDArray], NDArray]) -> NDArray:
        """Apply a function that expects the axes of a slice first."""
        if lr.ndim < len(self.factors):
            return function(lr)
        slice_axis = min(self.slice_axis, len(self.factors) - 1)
        return np.moveaxis(function(np.moveaxis(lr, slice_axis, -1)), -1, slice_axis)

    @property
    def noise_settings(self) -> PhysicalParameters:
        """Parameters of the noise, with the module's defaults if none are given."""
        return self.noise_parameters or plugins.load(NOISES, self.noise).Parameters()

    def simulate(self, hr: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the simulated low-resolution volume, with noise drawn from `seed`."""
        return self.add_seeded_noise(self.coarsen(hr))

    def add_seeded_noise(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add noise drawn from `seed` to a noiseless low-resolution volume."""
        return self.add_noise(lr, np.random.default_rng(self.seed))

    def describe(self) -> str:
        """Return a description of the model for reports."""
        factors = describe_factors(self.factors)
        return f"{describe_operators(self.operators)} by {factors} along the axes x, y and z, {self.describe_noise()}"

    def describe_noise(self) -> str:
        """Return a description of the noise for reports."""
        return describe_noise(self.noise_settings, self.noise_sigma)


def drawn_model(
    factors: tuple[float, ...],
    hr_shape: tuple[int, ...],
    noise_sigma: float,
    seed: int,
    operators: tuple[PhysicalParameters, ...],
    noise_parameters: PhysicalParameters,
    slice_axis: int,
    spacing_mm: tuple[float, ...] | None,
) -> ForwardModel:
    """Return the forward model of one volume; parameters given as ranges are drawn from its seed."""
    grids = ForwardModel(
        factors, hr_shape, noise_sigma=noise_sigma, seed=seed, slice_axis=slice_axis, spacing_mm=spacing_mm
    )
    model = grids.with_steps(operators, noise_parameters)
    return model.redrawn(np.random.default_rng([seed, DRAW]))


def describe_factors(factors: Sequence[float]) -> str:
    """Return factors as text, such as "4 x 4 x 1" or "1 x 1 x 5.56"."""
    return " x ".join(shown(factor) for factor in factors)


def describe_operators(operators: Sequence[PhysicalParameters]) -> str:
    """Return a description of the linear operators, in order of application."""
    return ", then ".join(step.describe() for step in operators)


def describe_noise(parameters: PhysicalParameters, sigma: float) -> str:
    """Return a description of the noise, to follow that of the linear operators."""
    if parameters.name == "none":
        return "without noise"
    return f"then {parameters.describe()} with a standard deviation of {100 * sigma:.1f} % of the normalised range"


def volume_seed(root_seed: int, volume_id: str) -> int:
    """Return the noise seed of a volume, which depends only on the seed of the run and the name of the volume."""
    digest = hashlib.sha256(f"{root_seed}/{volume_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _steps(values: Sequence[Mapping[str, Any]]) -> tuple[PhysicalParameters, ...]:
    return tuple(_parameters(OPERATORS, one) for one in values)


def _noise(values: Mapping[str, Any]) -> PhysicalParameters:
    return _parameters(NOISES, values)


def _parameters(package: str, values: Mapping[str, Any]) -> PhysicalParameters:
    # JSON has no tuples, which the strict model requires.
    parameters = plugins.load(package, values["name"]).Parameters
    return parameters.model_validate({key: tuple(one) if isinstance(one, list) else one for key, one in values.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, PhysicalParameters):
        return value.model_dump(mode="json")
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _input_slices(matrix: NDArray[np.float64] | None, chosen: Sequence[int]) -> NDArray[np.intp]:
    """Return the indices of the input slices that the chosen rows of a matrix depend on."""
    return np.array(chosen) if matrix is None else np.flatnonzero(matrix[list(chosen)].any(axis=0))


def _submatrix(
    matrix: NDArray[np.float64] | None, chosen: Sequence[int], needed: Sequence[int], selection: NDArray[np.intp]
) -> NDArray[np.float64] | None:
    """Return the part of a matrix that maps the needed input slices to the chosen ones."""
    if matrix is not None:
        return matrix[np.ix_(list(chosen), list(needed))]
    return None if list(chosen) == list(needed) else np.eye(len(needed))[selection]
