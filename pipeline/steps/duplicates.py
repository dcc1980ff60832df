"""Find near-duplicate pictures and volumes in different splits; see pipeline/fidelity/duplicates.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tqdm import tqdm

from pipeline.config.volumes import Duplicates, Volume
from pipeline.fidelity.duplicates import ORDER, hashed, hashed_slices, log_counts, near_duplicates, similar_volumes
from pipeline.steps._framework import entry, section
from pipeline.tables.duplicates import DUPLICATES


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    input: list[Path] = field(default_factory=list)
    """Archives of pictures (.zip)."""
    sources: list[str] = field(default_factory=list)
    """Sources of the archives, in the same order."""
    volumes: Annotated[tuple[Volume, ...], entry(tuple[Volume, ...], "volumes")] = ()
    """Entries of the stacks of pictures in the configuration."""
    extracted: list[Path] = field(default_factory=list)
    """Extracted volumes that are not stacks of pictures (.safetensors)."""
    output: Path
    """One row per pair of near-duplicates in different splits (.csv)."""
    settings: Annotated[Duplicates, section(Duplicates)] = field(default_factory=Duplicates)
    """Section `duplicates` of the configuration."""


def run(options: Options) -> None:
    """Write the table."""
    max_distance = options.settings.max_distance
    archives = dict(zip(options.sources, options.input, strict=True))
    pictures = [picture for volume in options.volumes for picture in hashed(volume, archives[volume.origin])]
    rows = list(near_duplicates(pictures, max_distance))
    extracted = [list(hashed_slices(path)) for path in tqdm(options.extracted, unit="volume", disable=None)]
    DUPLICATES.write(options.output, [*rows, *similar_volumes(extracted, max_distance)])
    splits = [picture.volume.split for picture in pictures]
    log_counts(rows, {split: splits.count(split) for split in ORDER if split in splits})
