"""Rigid registration of scans of one head in one contrast, whose slices may be thick and lie in any plane.

Both scans are first brought to one resolution: each is blurred by a Gaussian along its fine axes to the width of its
thick ones. The mutual information of both is then maximised from coarse to fine (Mattes et al., IEEE Transactions on
Medical Imaging 22:120-128, 2003, in SimpleITK). It depends neither on gain and offset nor, unlike the correlation, much
on tissue that only one of them shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from pipeline.errors import UserError
from pipeline.image.foreground import foreground_mask
from pipeline.image.image import Image
from pipeline.image.isotropic import isotropic
from pipeline.image.likeness import Likeness, likeness, resampled
from pipeline.image.rigid import IDENTITY, Rigid

MIN_WIDTH_MM = 4.0
"""Minimum resolution at which scans are registered."""
WIDTH = 1.25
"""Finest resolution, in voxel sizes of the coarsest axis of both scans."""
COARSER = (2.5, 1.6, 1.0)
"""Resolution of each level, in widths of the finest."""
STEPS = 2
"""Voxels per width of the point spread function."""
HISTOGRAM_BINS = 32
MAX_ITERATIONS = 200
FIRST_STEP_MM = 1.0
LAST_STEP_MM = 1e-3
RELAXATION = 0.7
"""Factor by which a step is shortened if the gradient turns. With 0.5, the steps vanish before the maximum is reached:
errors of up to 0.5 degrees."""
MIN_OVERLAP = 0.2
"""Minimum fraction of the head of one scan that lies in the field of view of the other."""
MIN_EXTENT_MM = 30.0
"""Minimum extent of a scan along every axis."""


@dataclass(frozen=True)
class Registration:
    """A successful registration.

    Attributes:
        transform: from world coordinates of the fixed scan to those of the moving one, about the centre of the head.
        likeness: agreement of the registered scans.
        overlap: fraction of the head in the fixed scan that lies in the field of view of the moving one, from 0 to 1.
        start: position from which it succeeded: "given", or "centres of mass".
    """

    transform: Rigid
    likeness: Likeness
    overlap: float
    start: str


@dataclass(frozen=True)
class _Level:
    """A scan at one resolution, and the mask of its foreground."""

    image: Image
    head: NDArray[np.bool_]

    @property
    def centre(self) -> NDArray[np.float64]:
        """World coordinates of the centre of the head."""
        return (self.image.affine @ [*ndimage.center_of_mass(self.head), 1])[:3]


def register(fixed: Image, moving: Image, start: Rigid = IDENTITY) -> Registration:
    """Find the rigid motion of the head between two scans.

    The result is deterministic. Motions of 20 degrees and 25 mm are found.

    Args:
        fixed: intensities of any scale, shape (x, y, z), background dark; the affine is in mm and may be oblique.
        moving: another scan of the same head in the same contrast, with any voxel size and orientation.
        start: approximate transform, from world coordinates of `fixed` to those of `moving`; by default, the head did
            not move between the scans. If the registration from there fails, it starts from the centres of the head.

    Raises:
        UserError: the position of a scan is unknown, a scan is too thin, their fields of view hardly overlap, or they
            do not show the same head in the same contrast.
    """
    for image in (fixed, moving):
        _check_position(image)
    finest = max(MIN_WIDTH_MM, WIDTH * max(*fixed.spacing, *moving.spacing))
    pairs = list(zip(_levels(fixed, finest), _levels(moving, finest), strict=True))
    first, last = pairs[0], pairs[-1]
    start = start.about(first[0].centre)
    _check_overlap(*first, start)
    centred = Rigid(start.rotation_degrees, _difference(first[1].centre, first[0].centre), start.centre_mm)
    found: list[Registration] = []
    for name, origin in (("given", start), ("centres of mass", centred)):
        transform = _coarse_to_fine(pairs, origin)
        agreement = likeness(last[0].image, last[1].image, transform, finest)
        found.append(Registration(transform, agreement, _overlap(*last, transform), name))
        if agreement.is_same:
            return found[-1]
    best = max(found, key=lambda one: one.likeness.edges)
    raise UserError(best.likeness.refusal)


def check_positions(fixed: Image, moving: Image) -> None:
    """Check that two scans show the same head in the same contrast at the positions in their files.

    Raises:
        UserError: as `register`.
    """
    for image in (fixed, moving):
        _check_position(image)
    width = max(MIN_WIDTH_MM, WIDTH * max(*fixed.spacing, *moving.spacing))
    first, second = (list(_levels(image, width))[-1] for image in (fixed, moving))
    _check_overlap(first, second, IDENTITY)
    found = likeness(first.image, second.image, IDENTITY, width)
    if not found.is_same:
        raise UserError(f"{found.refusal} Or the head moved between the scans: register them.")


def _check_position(image: Image) -> None:
    if image.unit != "mm" or not image.is_anatomical:
        raise UserError("the voxel size or the orientation is unknown; scans are registered by their position in mm.")
    extents = np.multiply(image.spacing, image.data.shape)
    if extents.min() < MIN_EXTENT_MM:
        sizes = " x ".join(f"{extent:.3g}" for extent in extents)
        raise UserError(f"a scan of {sizes} mm is too thin to be registered; {MIN_EXTENT_MM:g} mm are needed.")


def _levels(image: Image, finest: float) -> Iterator[_Level]:
    """Yield a scan from its coarsest to its finest resolution."""
    fine = isotropic(image, finest, finest / STEPS)
    for factor in COARSER:
        width = factor * finest
        blurred = fine if factor == 1 else isotropic(fine, width, width / STEPS, present_mm=finest)
        yield _Level(blurred, foreground_mask(blurred.data))


def _check_overlap(fixed: _Level, moving: _Level, start: Rigid) -> None:
    share = max(_overlap(fixed, moving, start), _overlap(moving, fixed, start.inverse()))
    if share < MIN_OVERLAP:
        raise UserError(
            f"the fields of view do not overlap enough: according to the files, {100 * share:.0f} % of the head lies "
            f"in both scans (at least {100 * MIN_OVERLAP:.0f} % is needed). Are they from one session, with intact "
            "headers?"
        )


def _overlap(fixed: _Level, moving: _Level, transform: Rigid) -> float:
    """Return the fraction of the head in the fixed scan that lies in the field of view of the moving one."""
    seen = resampled(np.ones_like(moving.image.data), moving.image, fixed.image, transform)
    return float(np.mean(seen[fixed.head] > 0))


def _difference(end: NDArray[np.float64], start: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (end - start).tolist()
    return x, y, z


def _coarse_to_fine(pairs: Iterable[tuple[_Level, _Level]], start: Rigid) -> Rigid:
    transform = start
    for fixed, moving in pairs:
        transform = _maximise(fixed, moving, transform)
    return transform


def _maximise(fixed: _Level, moving: _Level, start: Rigid) -> Rigid:
    """Find the maximum of the mutual information near a transform, at one resolution."""
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetMetricFixedMask(_as_itk(fixed.head.astype(np.uint8), fixed.image.affine))
    method.MetricUseFixedImageGradientFilterOff()  # the filter needs four voxels along every axis, which slabs lack
    method.MetricUseMovingImageGradientFilterOff()
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=FIRST_STEP_MM,
        minStep=LAST_STEP_MM,
        numberOfIterations=MAX_ITERATIONS,
        relaxationFactor=RELAXATION,
        gradientMagnitudeTolerance=0,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    transform = SimpleITK.VersorRigid3DTransform()
    transform.SetCenter(start.centre_mm)
    transform.SetMatrix(start.rotation().ravel().tolist())
    transform.SetTranslation(start.translation_mm)
    method.SetInitialTransform(transform, inPlace=True)
    scans = [_as_itk(level.image.data, level.image.affine) for level in (fixed, moving)]
    try:
        with _one_thread():
            method.Execute(*scans)
    except RuntimeError as error:  # nearly all voxels of the head left the field of view
        raise UserError("the registration failed: hardly any part of the head lies in both scans.") from error
    rotation = Rotation.from_matrix(np.reshape(transform.GetMatrix(), (3, 3))).as_rotvec(degrees=True)
    return Rigid.from_vector([*rotation, *transform.GetTranslation()], start.centre_mm)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let SimpleITK compute sums in a fixed order; the number of threads of the method alone is not enough."""
    threads = SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads()
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _as_itk(data: NDArray, affine: NDArray[np.float64]) -> SimpleITK.Image:
    """Return an array as an image of SimpleITK, whose world coordinates remain right, front and top."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(data.T))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return image
