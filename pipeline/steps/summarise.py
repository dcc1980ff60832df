"""Collect all measurements in tables: slices, volumes, the summary with intervals, all paired comparisons."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pipeline.config.sections import Evaluate
from pipeline.statistics.comparisons import compare_all
from pipeline.statistics.measurements import read_parts, slices_of, volume_table
from pipeline.statistics.summary import summarise
from pipeline.steps._framework import section
from pipeline.tables.comparisons import COMPARISONS
from pipeline.tables.slices import SLICES
from pipeline.tables.summary import SUMMARY
from pipeline.tables.volumes import VOLUMES

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    parts: list[Path]
    """Measurements of all volumes (.csv)."""
    volumes: Path
    """One value per volume: of the volume as a whole, or the mean over its slices (.csv)."""
    slices: Path
    """All measurements of slices (.csv)."""
    summary: Path
    """Means over volumes, confidence intervals and comparisons with the baseline (.csv)."""
    comparisons: Path | None = None
    """Every network against every baseline (.csv)."""
    stacks: list[str] = field(default_factory=list)
    """Volumes whose slices are independent pictures; the bootstrap resamples them individually."""
    seed: int = 0
    """Seed of the bootstrap."""
    settings: Annotated[Evaluate, section(Evaluate)] = field(default_factory=Evaluate)
    """Section `evaluate` of the configuration."""


def run(options: Options) -> None:
    """Write the tables."""
    rows = read_parts(options.parts)
    summary = summarise(rows, options.settings, options.seed, options.stacks)
    SLICES.write(options.slices, slices_of(rows))
    VOLUMES.write(options.volumes, volume_table(rows))
    SUMMARY.write(options.summary, summary)
    if options.comparisons:
        COMPARISONS.write(options.comparisons, compare_all(rows, options.settings, options.seed, options.stacks))
    logger.info("%d volumes, %d methods", rows["volume"].nunique(), rows["method"].nunique())
