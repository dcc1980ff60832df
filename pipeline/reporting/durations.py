"""How long the stages took for one volume, and how much memory, from what Snakemake measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.reporting.methods import method_title
from pipeline.reporting.tables import read_table, records
from pipeline.reporting.usage import duration_words

STAGES = (
    ("extract", "Extraction"),
    ("degrade", "Degradation"),
    ("interpolate", "Classical methods"),
    ("infer", "Network"),
    ("evaluate", "Measures"),
)
"""Folders of benchmarks, and what a reader calls them."""


@dataclass(frozen=True)
class Duration:
    """One job: what it was, how long it took and the most memory that it held."""

    title: str
    seconds: float
    memory_mb: float | None

    @property
    def words(self) -> str:
        """The time as a reader sees it."""
        return duration_words(self.seconds)


def read_durations(folder: Path | None, volume: str, suffix: str, networks: Sequence[str]) -> list[Duration]:
    """Reads what was measured of a volume's jobs and of the trainings; what was not measured is left out.

    Args:
        folder: `benchmarks` of a run; None gives nothing.
        volume: its id.
        suffix: of its predictions.
        networks: names of the networks.

    Raises:
        UserError: a file is no table.
    """
    if folder is None:
        return []
    jobs = [(f"Training of {method_title(name)}", folder / "train" / f"{name}.tsv") for name in networks]
    for stage, title in STAGES:
        parents = [""] if stage != "infer" else networks
        for parent in parents:
            named = f"{title}: {method_title(parent)}" if parent else title
            jobs += [(named, folder / stage / parent / f"{volume}{end}.tsv") for end in ("", suffix)]
    return [_read(title, path) for title, path in dict.fromkeys(jobs) if path.is_file()]


def _read(title: str, path: Path) -> Duration:
    row = records(read_table(path, ("s",), separator="\t"))[0]
    memory = row.get("max_rss")
    return Duration(title, float(row["s"]), float(memory) if isinstance(memory, int | float) else None)
