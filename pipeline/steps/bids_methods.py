"""Write how the images of a BIDS data set were restored, as text to cite, with its references as BibTeX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.config.bids.app import BidsData, BidsImage
from pipeline.config.load import read_entry
from pipeline.files import write_text
from pipeline.reporting.bids_methods import bids_methods, in_markdown
from pipeline.reporting.bids_report import read_bids_report
from pipeline.reporting.literature import bibtex
from pipeline.steps._framework import entry


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step; sidecars are read from the folder above that of the text."""

    data: Annotated[BidsData, entry(BidsData, "data")]
    """The data set."""
    images: list[str]
    """The images, each as JSON (see `BidsImage`)."""
    output: Path
    """The text (.md)."""
    bibtex: Path
    """The references (.bib)."""


def run(options: Options) -> None:
    """Write the text and its references.

    Raises:
        UserError: a sidecar is missing or damaged.
    """
    images = [read_entry(BidsImage, text, "images") for text in options.images]
    report = read_bids_report(options.data, images, options.output.parents[1])
    paragraphs, references = bids_methods(report)
    write_text(options.output, in_markdown(paragraphs, references))
    write_text(options.bibtex, f"{bibtex(references)}\n")
