"""Static images: the main methods of a volume with magnified details and error maps, or the scans of a combined one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.config.bids.app import IMAGE, RESULT
from pipeline.config.sections import Extract
from pipeline.formats import Part, format_of
from pipeline.image.normalisation import normalise
from pipeline.reporting.bids_report import BidsReport, RestoredImage
from pipeline.reporting.combined_report import CombinedReport, PlaneImages
from pipeline.reporting.figures.gallery import Gallery
from pipeline.reporting.figures.restored_view import restored_view
from pipeline.reporting.section import Section, Template, Text
from pipeline.reporting.volume_report import VolumeReport, main_methods


@dataclass(frozen=True)
class Images:
    """Content of the template: the images, and the methods in their order."""

    gallery: Gallery
    methods: list[str]
    deliver: str


CONVENTION = (
    "Radiological convention: letters mark the edges (R right, L left, A anterior, P posterior, S superior, I inferior)"
)


def for_volume(volume: VolumeReport) -> Section:
    """Return some evenly spaced slices of a volume, or the worst pictures of a stack."""
    gallery = volume.gallery
    notes = []
    if volume.is_stack:
        notes.append("The worst restored pictures of the deliverable, worst first.")
    elif gallery.edges:
        patient = (
            "the patient faces left" if volume.reference.plane == "sagittal" else "the patient's right is on the left"
        )
        notes.append(f"{CONVENTION}, so {patient}.")
    notes.append(
        f"All images share one intensity window, from 0 (black) to {gallery.white} (white) in the units of the file. "
        "The detail was chosen from the reference alone."
    )
    if gallery.averaged:
        notes.append("Whole slices were averaged down to fit; details were not.")
    if not gallery.lossless:
        notes.append(
            "The images are stored with slight loss to keep the page small; metrics are not computed from them."
        )
    methods = main_methods(volume.predictions.displayed, volume.baseline, volume.deliver)
    blocks = (Text(" ".join(notes), "note"), Template("gallery", Images(gallery, methods, volume.deliver)))
    return Section("images", "Images", blocks, link="Images")


def for_combined(report: CombinedReport) -> Section:
    """Return a slice of a combined volume in each plane, beside its scans and their mean."""
    gallery = report.gallery
    note = (
        "Slices through the middle of the head on the voxel grid of the combined volume. The scans are interpolated at "
        "their registered positions: by nearest neighbours, which show the voxels of the scan (above), and by cubic "
        "B-splines (lower detail). The mean is that of the B-splines. All images share one intensity window, from 0 "
        f"(black) to {gallery.white} (white) in the units of the first scan; the detail was chosen from the mean. "
        f"{CONVENTION}."
    )
    return Section("images", "Images", (Text(note, "note"), Template("combined_gallery", gallery)), link="Images")


def for_bids_subject(report: BidsReport) -> Section | None:
    """Return a slice of every restored grey image beside its input."""
    views = [(one.file_name, view) for one in report.restored if (view := _view(report, one)) is not None]
    if not views:
        return None
    note = (
        "Slices through the middle of the foreground on the voxel grid of the result. The input is interpolated by "
        "nearest neighbours, which show its voxels, and by cubic B-splines (lower detail). Both images of a pair share "
        f"one intensity window; the detail was chosen from the input. {CONVENTION}."
    )
    return Section("views", "Restored slices", (Text(note, "note"), Template("restored_views", views)), link="Slices")


def _view(report: BidsReport, one: RestoredImage) -> PlaneImages | None:
    source, made = (
        format_of(path).read(path, Part())
        for path in (Path(report.data.root) / one.image.path, report.folder / one.image.path_of(RESULT, IMAGE))
    )
    if source.stack.channel_count > 1:
        return None
    normalised = normalise(source, Extract())
    foreground, axis = normalised.masks["foreground"], normalised.slice_axis
    return restored_view(source, foreground, axis, made, one.sidecar.factors)
