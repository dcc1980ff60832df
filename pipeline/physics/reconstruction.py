"""Model-based reconstruction: the image that agrees with its measurements and is smooth.

The image x minimises::

    1/2 sum over measurements of ||A x - y||^2 + penalty(x),

where A is the linear part of the forward model of a measurement y. The penalty is quadratic, `w/2 ||D x||^2`, or total
variation, `w ||D x||`, of the forward differences D x along the axes (Rudin, Osher and Fatemi, Physica D 60:259-268,
1992; three-dimensional and isotropic). With a prior image p, it is the penalty of x - p.

Least squares are solved by preconditioned conjugate gradients. Total variation is the limit of least squares with
weights `1 / |D x|` from the previous solution (lagged diffusivity: Vogel and Oman, SIAM Journal on Scientific Computing
17:227-238, 1996), so both use the same solver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

SMOOTHING = 0.05
"""Default of `Penalty.smoothing`."""


class Measurement(Protocol):
    """A measurement of the image: a linear operator, the measured values, and their weights."""

    def forward(self, image: Tensor) -> Tensor:
        """Apply the operator to an image."""
        ...

    def adjoint(self, values: Tensor) -> Tensor:
        """Apply the adjoint operator, including the weights of the values."""
        ...

    def diagonal(self) -> Tensor:
        """Return an approximation of the diagonal of adjoint(forward(.)), of the shape of the image."""
        ...

    def values(self, image: Tensor) -> Tensor:
        """Return the measured values, minus the bias that their noise has for the given image."""
        ...


@dataclass(frozen=True)
class Penalty:
    """Penalty on the differences of neighbouring voxels.

    Attributes:
        kind: "quadratic" or "total_variation".
        weight: weight relative to the squared error of one measured voxel; intensities are normalised.
        scales: factor of the differences along each axis, such as 1 / spacing; 0 for axes without neighbours.
        smoothing: total variation penalises gradients well below this fraction of the intensity range quadratically.
        prior: image whose difference from the solution is penalised; None penalises the solution itself.
    """

    kind: Literal["quadratic", "total_variation"]
    weight: float
    scales: tuple[float, ...]
    smoothing: float = SMOOTHING
    prior: Tensor | None = field(default=None, compare=False)

    def coefficients(self, image: Tensor) -> Tensor | float:
        """Return the weight of the squared differences at each voxel, given the previous solution."""
        if self.kind == "quadratic":
            return self.weight
        squares = torch.full_like(image, self.smoothing**2)
        image = image if self.prior is None else image - self.prior
        for axis, scale in self._axes():
            difference = _forward_difference(image, axis)
            _leading(squares, axis).addcmul_(difference, difference, value=scale**2)
        return squares.rsqrt_().mul_(self.weight)

    def gradient(self, image: Tensor, coefficients: Tensor | float) -> Tensor:
        """Return the gradient of half the weighted squared differences."""
        result = torch.zeros_like(image)
        for axis, scale in self._axes():
            flow = _forward_difference(image, axis).mul_(scale**2)
            flow.mul_(_leading(coefficients, axis) if isinstance(coefficients, Tensor) else coefficients)
            _leading(result, axis).sub_(flow)
            result.narrow(axis, 1, image.shape[axis] - 1).add_(flow)
        return result

    def diagonal(self, image: Tensor, coefficients: Tensor | float) -> Tensor:
        """Return the diagonal of the linear map `gradient`."""
        spread = coefficients if isinstance(coefficients, Tensor) else torch.full_like(image, coefficients)
        result = torch.zeros_like(image)
        for axis, scale in self._axes():
            part = _leading(spread, axis)
            _leading(result, axis).add_(part, alpha=scale**2)
            result.narrow(axis, 1, image.shape[axis] - 1).add_(part, alpha=scale**2)
        return result

    def _axes(self) -> list[tuple[int, float]]:
        return [(axis, scale) for axis, scale in enumerate(self.scales) if scale > 0]


@dataclass(frozen=True)
class Effort:
    """Iterations of the solver.

    Attributes:
        rounds: number of least-squares problems; every one updates the coefficients and the bias of the noise.
        steps: maximum number of steps of conjugate gradients in each.
        tolerance: relative residual at which they stop.
    """

    rounds: int
    steps: int
    tolerance: float = 1e-3


EFFORT = {"quadratic": Effort(4, 40), "total_variation": Effort(10, 15)}


def reconstruct(
    measurements: Sequence[Measurement],
    penalty: Penalty,
    start: Tensor,
    effort: Effort | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Tensor:
    """Return the image with the smallest sum of squared errors and penalty; measurements are processed in threads.

    Args:
        measurements: operators and values.
        penalty: weight and kind of the penalty.
        start: first estimate, which also gives shape, dtype and device of the image.
        effort: number of iterations; None for the default of the penalty.
        progress: called after every round.
    """
    image = start.clone()
    effort = effort or EFFORT[penalty.kind]
    with ThreadPoolExecutor(max(1, min(len(measurements), torch.get_num_threads()))) as pool:

        def summed(function: Callable[[Measurement], Tensor]) -> Tensor:
            return sum(pool.map(function, measurements), torch.zeros_like(image))

        data_diagonal = summed(lambda one: one.diagonal())
        for _ in range(effort.rounds):
            coefficients = penalty.coefficients(image)

            def normal(candidate: Tensor, coefficients: Tensor | float = coefficients) -> Tensor:
                data = summed(lambda one: one.adjoint(one.forward(candidate)))
                return data.add_(penalty.gradient(candidate, coefficients))

            current = image
            target = summed(lambda one: one.adjoint(one.values(current)))  # noqa: B023
            if penalty.prior is not None:
                target.add_(penalty.gradient(penalty.prior, coefficients))
            preconditioner = data_diagonal + penalty.diagonal(image, coefficients)
            image = conjugate_gradients(normal, target, image, preconditioner, effort)
            progress()
    return image


def conjugate_gradients(
    operator: Callable[[Tensor], Tensor], target: Tensor, start: Tensor, diagonal: Tensor, effort: Effort
) -> Tensor:
    """Solve a symmetric positive definite system by conjugate gradients with a diagonal preconditioner.

    Hestenes and Stiefel, Journal of Research of the National Bureau of Standards 49:409-436, 1952.

    Args:
        operator: the linear map.
        target: right-hand side.
        start: first estimate of the solution.
        diagonal: diagonal of the map or an approximation of it; where it is 0, the solution keeps its start.
        effort: maximum number of steps, and the relative residual at which to stop.
    """
    solution = start.clone()
    residual = target - operator(solution)
    inverse = torch.where(diagonal > 0, diagonal, torch.inf).reciprocal_()
    scaled = inverse * residual
    direction = scaled.clone()
    product = _dot(residual, scaled)
    enough = effort.tolerance**2 * _dot(target, inverse * target)
    for _ in range(effort.steps):
        if product <= enough:
            break
        image = operator(direction)
        length = product / _dot(direction, image)
        solution.add_(direction, alpha=length)
        residual.sub_(image, alpha=length)
        torch.mul(inverse, residual, out=scaled)
        previous, product = product, _dot(residual, scaled)
        direction.mul_(product / previous).add_(scaled)
    return solution


def _dot(one: Tensor, other: Tensor) -> float:
    return float(torch.dot(one.reshape(-1), other.reshape(-1)))


def _leading(image: Tensor, axis: int) -> Tensor:
    """Return all voxels that have a next neighbour along an axis."""
    return image.narrow(axis, 0, image.shape[axis] - 1)


def _forward_difference(image: Tensor, axis: int) -> Tensor:
    size = image.shape[axis] - 1
    return image.narrow(axis, 1, size) - image.narrow(axis, 0, size)
