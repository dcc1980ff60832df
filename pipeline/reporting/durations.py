"""How long the jobs took that made a volume's results, and how much memory, from what Snakemake measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.reporting.tables import read_table, records
from pipeline.reporting.titles import method_title
from pipeline.reporting.usage import duration_words

STAGES = (
    ("interpolate", "Baselines"),
    ("infer", "Network"),
    ("evaluate", "Measures"),
)
"""Folders of benchmarks of jobs that handle a shard, and what a reader calls them."""
OF_ONE_VOLUME = (("extract", "Extraction"), ("degrade", "Degradation"))
"""The same of jobs that handle one volume."""


@dataclass(frozen=True)
class Shard:
    """Volumes that one job handles: the name of their shard, and how many they are."""

    name: str
    volumes: int

    @property
    def words(self) -> str:
        """What is to be said of a job's time, since it is not one volume's."""
        return "" if self.volumes == 1 else f" ({self.volumes} volumes together)"


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


def read_durations(folder: Path | None, volume: str, shard: Shard, networks: Sequence[str]) -> list[Duration]:
    """Read what was measured of a volume's jobs and of the trainings; what was not measured is left out.

    Args:
        folder: `benchmarks` of a run; None gives nothing.
        volume: its id.
        shard: the volume's.
        networks: names of the networks.

    Raises:
        UserError: a file is no table.
    """
    if folder is None:
        return []
    jobs = [(f"Training of {method_title(name)}", folder / "train" / f"{name}.tsv") for name in networks]
    jobs += [(title, folder / stage / f"{volume}.tsv") for stage, title in OF_ONE_VOLUME]
    for stage, title in STAGES:
        for parent in networks if stage == "infer" else [""]:
            named = f"{title}: {method_title(parent)}" if parent else title
            jobs.append((named + shard.words, folder / stage / parent / f"{shard.name}.tsv"))
    return [_read(title, path) for title, path in jobs if path.is_file()]


def _read(title: str, path: Path) -> Duration:
    row = records(read_table(path, ("s",), separator="\t"))[0]
    memory = row.get("max_rss")
    return Duration(title, float(row["s"]), float(memory) if isinstance(memory, int | float) else None)
