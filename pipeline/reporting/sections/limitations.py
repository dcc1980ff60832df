"""Limitations of the results of one volume, derived from the records of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.image.image import PLANE_AXIS
from pipeline.image.lengths import lengths_in_words
from pipeline.image.stack import SLICE_AXIS
from pipeline.inference.result_check import WARN_BEYOND
from pipeline.physics.parameters import axes_along, is_out_of_range
from pipeline.reporting import methods_text
from pipeline.reporting.bids_report import BidsReport
from pipeline.reporting.combined_report import CombinedReport, scan_title
from pipeline.reporting.numbers import format_number, format_share, format_voxels
from pipeline.reporting.section import Facts, Section
from pipeline.reporting.titles import TESTED, baselines, method_title, readable, split_title
from pipeline.reporting.volume_report import VolumeReport

MIN_PERCENTAGE = 0.0001
"""Smallest fraction that two decimals of a percentage can show."""


@dataclass(frozen=True)
class Limitation:
    """One limitation: a short title and its explanation."""

    title: str
    text: str


SIMULATED = Limitation(
    "Simulated low-resolution input",
    "The low-resolution volume was simulated from the reference. Real images can differ in ways that the simulation "
    "does not model. The mismatch matrix, if the run has one, shows how the networks perform under other degradations.",
)


RESEARCH = Limitation(
    "Not for diagnosis",
    "The result was computed, not acquired. BrainSR is research software, and has not been evaluated for diagnosis "
    "or treatment.",
)
NO_REFERENCE = Limitation(
    "No reference",
    "These images have no reference of higher resolution, so the results cannot be evaluated. Agreement of a result "
    "with its input does not show that its detail is right. The command brainsr networks lists gains on other "
    "persons, by contrast, voxel size and noise.",
)
COMBINED = Limitation(
    "Combined reference",
    "The reference was combined from several scans, not acquired. Its errors count as errors of every method.",
)


def for_volume(volume: VolumeReport) -> Section:
    """Return the limitations of a volume's results."""
    pairs = tuple((one.title, one.text) for one in limitations(volume))
    return Section("limitations", "Limitations", (Facts(pairs, style="warnings"),))


def for_combined(report: CombinedReport) -> Section:
    """Return the limitations of a combined volume."""
    pairs = tuple((one.title, one.text) for one in _limitations_of_combined(report))
    return Section("limitations", "Limitations", (Facts(pairs, style="warnings"),))


def for_bids_subject(report: BidsReport) -> Section:
    """Return the limitations of restored images without a reference."""
    del report
    pairs = tuple((one.title, one.text) for one in (NO_REFERENCE, RESEARCH))
    return Section("limitations", "Limitations", (Facts(pairs, style="warnings"),))


def for_bids_cohort(report: BidsReport) -> Section:
    """Return the same for all subjects."""
    return for_bids_subject(report)


def _limitations_of_combined(report: CombinedReport) -> Iterator[Limitation]:
    for scan, gate in report.failed:
        yield Limitation(
            f"Failed gate: {readable(gate.gate)}",
            f"{scan}: {format_number(gate.value)}, limit {format_number(gate.limit)}. Do not use this "
            "result until the cause is known, such as motion within the scan, another contrast, or a wrong slice "
            "thickness.",
        )
    assumed = [scan_title(scan) for scan in report.scans if scan.thickness_source == "assumed"]
    if assumed:
        yield Limitation(
            "Unknown slice thickness",
            f"The slices of {', '.join(assumed)} are assumed to be as thick as their spacing. A wrong thickness makes "
            "the result too blurred, or adds false edges (--thickness-mm).",
        )
    yield RESEARCH
    yield Limitation(
        "Detail that no scan contains",
        "Detail finer than the voxels of all scans is not restored. In directions in which all scans have thick "
        "slices, the result remains blurred.",
    )
    yield Limitation(
        "One rigid head per scan",
        "Each scan has one position of the head. Motion between the slices of a scan, deformation and distortion are "
        "not modelled; slices that disagree are left out.",
    )


def limitations(volume: VolumeReport) -> list[Limitation]:
    """Return the limitations of a volume's results, the most serious first."""
    return [
        *_failed_gates(volume),
        *_inconsistency(volume),
        *(Limitation(setback.title, setback.text) for setback in volume.setbacks),
        *_split(volume),
        *_near_duplicates(volume),
        *_noise_level(volume),
        *_voxel_size(volume),
        *_intensities(volume),
        *_code(volume),
        *([COMBINED] if volume.is_combined else []),
        SIMULATED,
    ]


def _failed_gates(volume: VolumeReport) -> Iterator[Limitation]:
    for gate in volume.failed_gates:
        yield Limitation(
            f"Failed gate: {readable(gate.gate)}",
            f"{method_title(gate.method)}: {format_number(gate.value)}, limit {format_number(gate.limit)}. Do not use "
            "this result until the cause is known.",
        )


def _inconsistency(volume: VolumeReport) -> Iterator[Limitation]:
    beyond_noise = volume.predictions.beyond_noise
    if beyond_noise > WARN_BEYOND:
        yield Limitation(
            "Inconsistent with the low-resolution input",
            "When degraded again, the result differs from the low-resolution input by "
            f"{format_share(beyond_noise, 1)} of the intensity range (root mean square) beyond the noise. Valid "
            f"results stay below {format_share(WARN_BEYOND)}.",
        )


def _split(volume: VolumeReport) -> Iterator[Limitation]:
    record, split = volume.run.provenance, volume.split
    self_supervised = record.config.is_self_supervised
    pictures = bool(volume.run.stacks)
    if split == "val":
        yield Limitation("Validation data", "Settings were chosen on this volume, so its results are not evidence.")
        return
    if self_supervised and split in TESTED:
        yield Limitation("Self-supervised training", "The network was trained on the low-resolution volume itself.")
    elif split == "test_within_subject":
        gap = record.gap_to_training(volume.id)
        apart = f", at least {gap} slices away" if gap is not None else ""
        yield Limitation(
            "Same subject as in training",
            f"The network was trained on other slices of this subject{apart}. The result is no evidence for other "
            "subjects.",
        )
    if len(volume.subjects) == 1 and not pictures:
        title = split_title(split, self_supervised=self_supervised).lower()
        yield Limitation(
            "One subject",
            f"The split \N{LEFT DOUBLE QUOTATION MARK}{title}\N{RIGHT DOUBLE QUOTATION MARK} contains one subject. "
            "Intervals reflect the variation between its slices, not between subjects.",
        )
    trained_on = {one.subject for one in record.volumes if one.split == "train"}
    if len(trained_on) == 1 and volume.deliver not in baselines() and not pictures:
        yield Limitation("Trained on one subject", "All training slices come from one subject.")


def _near_duplicates(volume: VolumeReport) -> Iterator[Limitation]:
    record, name = volume.run.provenance, volume.id
    for pair in record.near_duplicates:
        if name not in (pair.volume, pair.near_duplicate_volume):
            continue
        other, split = (
            (pair.near_duplicate_volume, pair.near_duplicate_split)
            if pair.volume == name
            else (pair.volume, pair.split)
        )
        what = "picture or slice resembles" if pair.pictures == 1 else "pictures or slices resemble"
        left_out = "They were left out." if name in volume.run.stacks else "They were kept."
        yield Limitation(
            "Near-duplicates in another split",
            f"{pair.pictures} {what} some of {other} in the split {split}. {left_out}",
        )


def _noise_level(volume: VolumeReport) -> Iterator[Limitation]:
    record = volume.run.provenance
    recipe = methods_text.recipe_of(record, volume.deliver) if volume.deliver not in baselines() else None
    if recipe is None:
        return
    sigma = volume.low.forward_model.noise_sigma
    low, high = recipe.noise_sigma_range or (record.config.degrade.noise_sigma,) * 2
    if not low - 1e-9 <= sigma <= high + 1e-9:
        yield Limitation(
            "Noise level outside the training range",
            f"The noise level is {format_share(sigma, 1)} of the intensity range; {method_title(volume.deliver)} was "
            f"trained with {format_share(low, 1)} to {format_share(high, 1)}.",
        )


def _voxel_size(volume: VolumeReport) -> Iterator[Limitation]:
    """Compare the voxel size along the upsampled axes with that of the training volumes."""
    if volume.deliver in baselines():
        return
    record = volume.run.provenance
    direction = record.config.degrade.direction

    def upsampled_mm(spacing_mm: Sequence[float] | None, plane: str) -> list[float]:
        axes = axes_along(direction, PLANE_AXIS.get(plane, SLICE_AXIS))
        return [spacing_mm[axis] for axis in axes] if spacing_mm else []

    here = upsampled_mm(volume.reference.block.spacing_mm, volume.reference.plane)
    trained_on = [one for one in record.volumes if one.split == "train"]
    known = [size for one in trained_on for size in upsampled_mm(one.spacing_mm, one.plane)]
    if here and known and is_out_of_range(here, (min(known), max(known))):
        trained = [min(known), max(known)] if min(known) < max(known) else [min(known)]
        yield Limitation(
            "Voxel size outside the training range",
            f"The voxel size of the reference is {format_voxels(here, 'mm')} along the upsampled axes; the training "
            f"volumes have {lengths_in_words(trained, ' to ')}.",
        )


def _intensities(volume: VolumeReport) -> Iterator[Limitation]:
    if volume.reference.block.synthetic:
        yield Limitation("Synthetic image", "The reference was synthesised from a label map; it was not acquired.")
    if volume.reference.block.bias_corrected:
        yield Limitation("Bias-corrected", "Metrics and images are computed after bias field correction.")
    saturated = volume.predictions.saturated
    if saturated > 0:
        share = format_share(max(saturated, MIN_PERCENTAGE), 2)
        share = share if saturated >= MIN_PERCENTAGE else f"Less than {share}"
        yield Limitation(
            "Saturated voxels",
            f"{share} of the deliverable's voxels are at the upper limit of the file's data type. Higher intensities "
            "were clipped.",
        )


def _code(volume: VolumeReport) -> Iterator[Limitation]:
    git = volume.run.provenance.git
    if git and git.changed:
        yield Limitation("Modified code", "The code was modified after the commit given under Provenance.")
