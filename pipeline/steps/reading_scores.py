"""Compute the scores of a reader study: mean opinion scores, preferences, and agreement between readers.

Requires the key of the study and the answers saved by one or more readers.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pandas as pd

from pipeline.config.sections import Evaluate
from pipeline.fidelity.reading.answers import read_answers
from pipeline.fidelity.reading.key import read_key
from pipeline.fidelity.reading.scores import (
    ALL,
    Study,
    opinion_scores,
    preferences,
    reader_agreement,
    reader_table,
)
from pipeline.statistics.krippendorff import MIN_READERS
from pipeline.steps._framework import section
from pipeline.tables.reading_scores import OPINION_SCORES, PREFERENCES, READER_AGREEMENT, READER_CONSISTENCY

TABLES = {
    "scores": (OPINION_SCORES, opinion_scores),
    "preferences": (PREFERENCES, preferences),
    "readers": (READER_CONSISTENCY, reader_table),
    "agreement": (READER_AGREEMENT, reader_agreement),
}
"""Names of the files, with their columns and the functions that compute them."""


def in_words(tables: dict[str, pd.DataFrame], folder: Path) -> str:
    """Format the tables as text."""
    readers = tables["readers"]
    choices = tables["preferences"]
    shown = {
        "Mean opinion (1 to 5)": tables["scores"],
        "Preferred to all others": choices[choices["other"] == ALL].drop(columns="other"),
        "Readers": readers,
        "Agreement between readers (Krippendorff's alpha)": tables["agreement"],
    }
    parts = [
        f"{title}\n\n{table.to_string(index=False, float_format=lambda value: f'{value:.3f}', na_rep='-')}\n"
        for title, table in shown.items()
    ]
    if len(readers) < MIN_READERS:
        parts.append("A single reader: no agreement between readers; intervals do not cover other readers.\n")
    return "\n".join([*parts, f"Tables: {folder}\n"])


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    key: Path
    """The key of the study (key.json)."""
    answers: list[Path]
    """Answers saved by the page (.csv)."""
    output: Path
    """Folder of scores.csv, preferences.csv, readers.csv and agreement.csv."""
    seed: int = 0
    """Seed of the bootstrap."""
    settings: Annotated[Evaluate, section(Evaluate)] = field(default_factory=Evaluate)
    """Section `evaluate` of the configuration."""


def run(options: Options) -> None:
    """Write the tables and print them."""
    settings = options.settings
    answers = read_answers(options.answers, read_key(options.key))
    study = Study(answers, settings.bootstrap_samples, settings.confidence, options.seed)
    tables = {name: compute(study) for name, (_, compute) in TABLES.items()}
    for name, table in tables.items():
        TABLES[name][0].write(options.output / f"{name}.csv", table)
    sys.stdout.write(in_words(tables, options.output))
