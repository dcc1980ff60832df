"""Combine the scans of one head into one isotropic volume, with its uncertainty map, record and report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pipeline.config.combine import Combine
from pipeline.config.volumes import Volume
from pipeline.errors import about
from pipeline.inference.combine.files import combine_files
from pipeline.inference.combine.reading import Source
from pipeline.models.device import choose_device, use_threads
from pipeline.reporting.pages.combined import write_reports
from pipeline.steps._framework import entry, section

INDEX = ("index.html", "All volumes")
SIDECAR = ".json"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    scans: list[Path]
    """Files of the scans in the order of the volume's sources, each followed by its BIDS sidecars (.json), if any."""
    output: Path
    """The combined volume; its uncertainty map and its record are written beside it."""
    page: Path
    """The report (.html)."""
    volume: Annotated[Volume, entry(Volume, "volume")]
    """Entry of the volume in the configuration."""
    threads: int = 1
    """Number of CPU threads."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Compute device."""
    settings: Annotated[Combine, section(Combine)] = field(default_factory=Combine)
    """Section `combine` of the configuration."""


def run(options: Options) -> None:
    """Write the combined volume and its descriptions.

    Raises:
        UserError: a scan cannot be read, the scans do not belong together, or the result disagrees with a scan.
    """
    use_threads(options.threads)
    device = choose_device(options.device)
    with about(f"volume {options.volume.id!r}"):
        sources = list(sources_of(options.scans, options.volume.thicknesses_mm))
        found = combine_files(sources, options.output, options.settings, device=device)
        write_reports(options.output, found, options.settings, options.page, pages=(INDEX,))


def sources_of(files: Sequence[Path], thicknesses_mm: Sequence[float | None]) -> Iterator[Source]:
    """Yield scans, each with its slice thickness and its sidecars."""
    places = [place for place, file in enumerate(files) if file.suffix != SIDECAR]
    ends = [*places[1:], len(files)]
    for place, end, thickness in zip(places, ends, thicknesses_mm, strict=True):
        yield Source(files[place], thickness, sidecars=tuple(map(str, files[place + 1 : end])))
