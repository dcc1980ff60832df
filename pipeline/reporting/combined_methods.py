"""Methods of a combined volume in prose, written from its record."""

from __future__ import annotations

from pipeline.reporting.combined_report import CombinedReport, describe_slices, scan_title, voxel_text
from pipeline.reporting.literature import Bibliography
from pipeline.reporting.methods_text import Paragraph
from pipeline.reporting.numbers import format_lengths, format_share


def combined_methods(report: CombinedReport) -> tuple[tuple[Paragraph, ...], tuple[str, ...]]:
    """Return the methods of a combined volume, and the references that they cite."""
    books = Bibliography()
    paragraphs = (
        _scans(report, books),
        _acquisition_model(books),
        _registration(report, books),
        _reconstruction(report, books),
        _uncertainty(),
        Paragraph("Software", f"BrainSR {report.record.version}."),
    )
    return paragraphs, books.references


def _scans(report: CombinedReport, books: Bibliography) -> Paragraph:
    scans = "; ".join(
        f"{scan_title(scan)}: voxels of {voxel_text(scan.voxel_mm)}, {describe_slices(scan)}, noise of "
        f"{format_share(scan.noise_sigma, 1)} of the intensity range"
        for scan in report.scans
    )
    return Paragraph(
        "Scans",
        f"{len(report.scans)} scans of one head and one contrast were combined. {scans}. The noise of each scan was "
        f"estimated from its background, where magnitude images follow a Rayleigh distribution{books.cite('rician')}, "
        "or, without a background, from flat regions.",
    )


def _acquisition_model(books: Bibliography) -> Paragraph:
    return Paragraph(
        "Acquisition model",
        "Each scan is the volume at another position of the head, weighted across its slices by the slice profile and "
        "averaged over its voxels within the slices, with another gain and offset"
        f"{books.cite('gholipour2010', 'unires')}.",
    )


def _registration(report: CombinedReport, books: Bibliography) -> Paragraph:
    if not report.record.settings["motion"]:
        return Paragraph("Registration", "The positions stored in the files were used; scans were not registered.")
    return Paragraph(
        "Registration",
        "The scans were registered rigidly to the first one by maximising their mutual information"
        f"{books.cite('mattes')}. The position, gain and offset of each scan were then refined by Gauss-Newton steps "
        "on the difference between the scan and the prediction of the acquisition model from a reconstruction of the "
        "other scans. Slices whose difference is large compared with that of neighbouring slices were weakened or left "
        f"out{books.cite('gholipour2010')}.",
    )


def _reconstruction(report: CombinedReport, books: Bibliography) -> Paragraph:
    squares = (
        "The volume minimises the sum of the squared differences between the scans and their predictions, each "
        "divided by the noise variance of the scan, plus "
    )
    if report.record.settings["method"] == "least_squares":
        penalty = (
            "the weighted sum of the squared differences between neighbouring voxels. Conjugate gradients were used."
        )
    else:
        penalty = (
            f"the weighted isotropic total variation{books.cite('total-variation', 'unires')}. It was minimised by "
            f"lagged diffusivity{books.cite('lagged-diffusivity')}, whose linear equations were solved by conjugate "
            "gradients."
        )
    grid, model = report.record, report.record.settings.get("model", "none")
    prior = (
        ""
        if model == "none"
        else f" The penalty applies to the difference from a prior image: each scan was restored across its slices by "
        f"the network {model}, and the restored scans were averaged."
    )
    return Paragraph(
        "Reconstruction",
        f"{squares}{penalty}{prior} The volume has {format_lengths(grid.shape)} voxels of {voxel_text(grid.voxel_mm)}, "
        "in the space and the intensities of the first scan.",
    )


def _uncertainty() -> Paragraph:
    return Paragraph(
        "Uncertainty and consistency",
        "The uncertainty map is the expected absolute error, from the noise level and the root mean square difference "
        "between the least-squares reconstruction from all scans and those that leave out one scan each. Consistency "
        "gates compared the prediction of each scan with the scan; noise alone exceeds their limits in one of a "
        "thousand volumes.",
    )
