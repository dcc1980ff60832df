"""What must not be trusted about a volume's results, as far as the records of the run tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.image.image import PLANE_AXIS, Image
from pipeline.image.stack import SLICE_AXIS
from pipeline.inference.result_check import WARN_BEYOND
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.parameters import Direction, axes_along, is_outside
from pipeline.reporting import methods_text
from pipeline.reporting.gates import Gates
from pipeline.reporting.run_record import gap_of, is_self_supervised, stacks_of
from pipeline.reporting.setbacks import Setback
from pipeline.reporting.titles import TESTED, baselines, method_title, split_title

Record = Mapping[str, Any]


SMALLEST_SHARE = 0.0001
"""That two digits of a percentage tell from nothing."""


@dataclass(frozen=True)
class Caution:
    """One thing that limits what the results can be trusted for."""

    title: str
    text: str


@dataclass(frozen=True)
class Case:
    """What the cautions are drawn from.

    Attributes:
        reference: extracted volume.
        low: its low-resolution volume.
        record: of the run.
        deliver: method of the deliverable.
        subjects: measured in the volume's split.
        gates: of the volume, where there are any.
        at_limit: share of the deliverable's voxels as bright as its file can hold; see `share_at_limit`.
        setbacks: where the deliverable falls behind the best baseline beside measures of likeness.
        beyond_noise: how far the deliverable, degraded again, differs from the measurement beyond the noise, as a
            fraction of the intensity range.
    """

    reference: Image
    low: LowResolutionImage
    record: Record
    deliver: str
    subjects: Sequence[str]
    gates: Gates | None
    at_limit: float
    setbacks: Sequence[Setback] = ()
    beyond_noise: float = 0.0


def cautions(case: Case) -> list[Caution]:
    """Return what a reader must know, the gravest first."""
    behind = [Caution(one.title, one.text) for one in case.setbacks]
    of_data = [*_split(case), *_duplicates(case), *_noise(case), *_voxels(case), *_intensities(case), *_code(case)]
    return [*_gates(case), *_agreement(case), *behind, *of_data, SIMULATED]


SIMULATED = Caution(
    "A simulated measurement",
    "The low-resolution volume was computed from the reference. A real scan may differ in ways that the "
    "simulation leaves "
    "out; how the networks bear another degradation is told by the mismatch matrix, where the run has one.",
)


def _gates(case: Case) -> list[Caution]:
    failed = case.gates.failed if case.gates else ()
    return [
        Caution(
            f"The gate \N{LEFT DOUBLE QUOTATION MARK}{gate.title}\N{RIGHT DOUBLE QUOTATION MARK} was failed",
            f"{gate.method_title}: {gate.value}, limit {gate.limit}. Do not use this result before you know why.",
        )
        for gate in failed
    ]


def _agreement(case: Case) -> list[Caution]:
    if case.beyond_noise <= WARN_BEYOND:
        return []
    return [
        Caution(
            "Differs from the measurement",
            f"The result, degraded again, differs from the measurement by {case.beyond_noise:.1%} of the intensity "
            f"range (root mean square) beyond the noise. Results that can be relied on stay below {WARN_BEYOND:.0%}.",
        )
    ]


def _split(case: Case) -> list[Caution]:
    split = case.reference.identity.split
    if split == "val":
        return [Caution("Validation", "Settings were chosen on this volume. Good numbers here prove nothing.")]
    found = []
    if is_self_supervised(case.record) and split in TESTED:
        found.append(
            Caution("Learnt from its own slices", "The network saw thick slices of this very volume as it learnt.")
        )
    elif split == "test_within_subject":
        gap = gap_of(case.record, case.reference.id)
        apart = f", {gap} slices from the nearest one of them" if gap is not None else ""
        found.append(
            Caution(
                "Same subject as in training",
                f"The network learnt from other slices of this head{apart}. The result says nothing of other heads.",
            )
        )
    if len(case.subjects) == 1 and not stacks_of(case.record):
        where = split_title(split, self_supervised=is_self_supervised(case.record)).lower()
        found.append(
            Caution(
                "One subject",
                f"The split \N{LEFT DOUBLE QUOTATION MARK}{where}\N{RIGHT DOUBLE QUOTATION MARK} holds one subject. "
                "Intervals tell of its slices, not of how far subjects differ.",
            )
        )
    learnt = {volume["subject"] for volume in case.record["volumes"] if volume["split"] == "train"}
    if len(learnt) == 1 and case.deliver not in baselines() and not stacks_of(case.record):
        found.append(Caution("Learnt from one subject", "All training slices come from one head and one scan."))
    return found


def _duplicates(case: Case) -> list[Caution]:
    volume = case.reference.id
    found = []
    for pair in case.record.get("near_duplicates", []):
        if volume in (pair["volume"], pair["near_duplicate_volume"]):
            other = pair["near_duplicate_volume"] if pair["volume"] == volume else pair["volume"]
            split = pair["near_duplicate_split"] if pair["volume"] == volume else pair["split"]
            what = "pictures or slices" if pair["pictures"] != 1 else "picture or slice"
            left_out = " They were left out." if volume in stacks_of(case.record) else " They stay in."
            found.append(
                Caution(
                    "Near-duplicates in another split",
                    f"{pair['pictures']} {what} of this volume look like some of {other}, split {split}.{left_out}",
                )
            )
    return found


def _noise(case: Case) -> list[Caution]:
    recipe = methods_text.recipe_of(case.record, case.deliver) if case.deliver not in baselines() else None
    if recipe is None:
        return []
    model = case.low.forward_model
    sigma = model.noise_sigma
    low, high = recipe.noise_sigma_range or (case.record["config"]["degrade"]["noise_sigma"],) * 2
    if low - 1e-9 <= sigma <= high + 1e-9:
        return []
    return [
        Caution(
            "Other noise than in training",
            f"The measurement has noise of {sigma:.1%} of the range; {method_title(case.deliver)} learnt with "
            f"{low:.1%} to {high:.1%}.",
        )
    ]


def _voxels(case: Case) -> list[Caution]:
    """Compare the voxel size along the enlarged axes with that of the training volumes."""
    if case.deliver in baselines():
        return []
    direction = case.record["config"]["degrade"]["direction"]
    volumes = [one for one in case.record["volumes"] if one["split"] == "train"]
    known = [size for one in volumes for size in _enlarged_mm(one.get("spacing_mm"), one["plane"], direction)]
    here = _enlarged_mm(case.reference.block.spacing_mm, case.reference.plane, direction)
    if not here or not known or not is_outside(here, (min(known), max(known))):
        return []
    return [
        Caution(
            "Other voxel size than in training",
            f"The voxels of the reference measure {' x '.join(f'{size:.3g}' for size in here)} mm along the "
            f"enlarged axes; the training volumes have {min(known):.3g} to {max(known):.3g} mm.",
        )
    ]


def _enlarged_mm(spacing_mm: Sequence[float] | None, plane: str, direction: Direction) -> list[float]:
    """Return the voxel sizes of a volume along the enlarged axes; empty if they are unknown."""
    axes = axes_along(direction, PLANE_AXIS.get(plane, SLICE_AXIS))
    return [spacing_mm[axis] for axis in axes] if spacing_mm else []


def _intensities(case: Case) -> list[Caution]:
    found = []
    if case.reference.block.bias_corrected:
        found.append(
            Caution("Bias-corrected", "Measures and pictures are of the volume after its bias field was removed.")
        )
    if case.at_limit > 0:
        found.append(
            Caution(
                "Clipped voxels",
                f"{_percent(case.at_limit)} of the deliverable's voxels are as bright as the file can hold. What was "
                "brighter was cut off there.",
            )
        )
    return found


def _code(case: Case) -> list[Caution]:
    git = case.record.get("git")
    if not (git and git["changed"]):
        return []
    return [Caution("Changed code", "The code was changed after the commit that is named under Provenance.")]


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= SMALLEST_SHARE else f"Less than {SMALLEST_SHARE:.2%}"


def share_at_limit(reference: Image, estimate: NDArray[np.floating]) -> float:
    """Return the share of voxels that hold the highest integer of the volume's dtype; 0 for floating point.

    Args:
        reference: extracted volume, whose dtype the results share.
        estimate: a result as it was read back, normalised.
    """
    dtype = np.dtype(reference.intensity.dtype)
    if dtype.kind == "f":
        return 0.0
    stored, _ = reference.intensity.to_stored(estimate)
    return float(np.mean(stored == np.iinfo(dtype).max))
