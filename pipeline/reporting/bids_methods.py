"""Methods of the images that `brainsr bids` restored in prose, written from their sidecars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline import __version__
from pipeline.config.shipped import shipped_networks
from pipeline.inference.result_check import REFUSE_BEYOND
from pipeline.reporting.bids_report import BidsReport
from pipeline.reporting.literature import Bibliography
from pipeline.reporting.methods_text import Paragraph
from pipeline.reporting.numbers import format_lengths, format_share
from pipeline.reporting.titles import baselines, method_title

MODEL_BASED = {"total_variation": ("total-variation", "lagged-diffusivity")}
"""Works to cite by baseline."""


def bids_methods(report: BidsReport) -> tuple[tuple[Paragraph, ...], tuple[str, ...]]:
    """Return the methods of the restored images, and the references that they cite."""
    books = Bibliography()
    paragraphs = (
        _data(report, books),
        *(_restoration(report, method, books) for method in report.methods),
        _consistency(books),
        Paragraph(
            "Software",
            f"BrainSR {__version__} restored the images, as a workflow of Snakemake{books.cite('snakemake')}. The data "
            "sets follow the Brain Imaging Data Structure.",
        ),
    )
    return paragraphs, books.references


def in_markdown(paragraphs: Iterable[Paragraph], references: Sequence[str]) -> str:
    """Return the methods as Markdown."""
    parts = ["# Methods", *(f"## {one.heading}\n\n{one.text}" for one in paragraphs)]
    numbered = [f"{number}. {text}" for number, text in enumerate(references, start=1)]
    return "\n\n".join([*parts, "## References", "\n".join(numbered)]) + "\n"


def _data(report: BidsReport, books: Bibliography) -> Paragraph:
    sizes = dict.fromkeys(format_lengths(one.sidecar.source_voxel_size_millimetres, 3) for one in report.restored)
    voxels = f" Voxel sizes: {'; '.join(sizes)} mm." if sizes else ""
    cited = books.cite_text(report.data.citation)
    count, subjects = len(report.restored), len({one.image.subject for one in report.restored})
    return Paragraph(
        "Data",
        f"{count} image{'s' if count != 1 else ''} of {subjects} subject{'s' if subjects != 1 else ''} of the data set "
        f"{report.data.title}{cited} {'were' if count != 1 else 'was'} super-resolved.{voxels}",
    )


def _restoration(report: BidsReport, method: str, books: Bibliography) -> Paragraph:
    here = [one.sidecar for one in report.restored if one.sidecar.method == method]
    factors = "; ".join(dict.fromkeys(format_lengths(one.factors, 3) for one in here))
    noise = sorted(one.noise_sigma for one in here if one.noise_sigma is not None)
    ends = dict.fromkeys(format_share(sigma, 1) for sigma in (*noise[:1], *noise[-1:]))
    levels = f" Noise level: {' to '.join(ends)} of the intensity range." if noise else ""
    enlarged = f"Enlargement along the axes from left to right, back to front and feet to head: {factors}."
    if method in baselines():
        known = books.cite(*MODEL_BASED[method]) if method in MODEL_BASED else ""
        what = f"Images were restored by the baseline {method_title(method)}{known}, without a network."
        return Paragraph(f"Restoration by {method_title(method)}", f"{what} {enlarged}{levels}")
    shipped = shipped_networks().get(method)
    checksum = f"SHA-256 of its weights: {here[0].weights_sha256}."
    network = f"Images were restored by the network {method}{books.cite_text(shipped.citation) if shipped else ''}"
    trained = f", trained on {shipped.network.trained_on}" if shipped else ""
    estimated = " The noise level of each image was estimated."
    return Paragraph(
        f"Restoration by {method}",
        f"{network}{trained}{books.cite('esrgan') if shipped else ''}. {enlarged}{estimated if noise else ''}{levels} "
        f"{checksum}",
    )


def _consistency(books: Bibliography) -> Paragraph:
    return Paragraph(
        "Consistency",
        "Every result was degraded to the grid of its input and compared with it. The noise of the input was estimated "
        f"from its background, where magnitude images follow a Rayleigh distribution{books.cite('rician')}, or from "
        f"flat regions. Results that differ by more than {format_share(REFUSE_BEYOND)} of the intensity range (root "
        "mean square, beyond the noise) were not written.",
    )
