"""Compute the scores of a reader study: mean opinion scores, preferences, and agreement between readers.

Give the key that was written with the page, and the files that the page saved, of one reader or of many.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from pipeline.config.load import read_section
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
from pipeline.statistics.krippendorff import FEWEST_READERS
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings
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
    if len(readers) < FEWEST_READERS:
        parts.append("A single reader: no agreement between readers; intervals do not cover other readers.\n")
    return "\n".join([*parts, f"Tables: {folder}\n"])


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this command."""
    add_path(parser, "--key", "the key of the study (key.json)")
    add_path(parser, "--answers", "what the page saved (.csv)", many=True)
    add_path(parser, "--output", f"folder for {', '.join(f'{name}.csv' for name in TABLES)}")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    add_settings(parser, Evaluate)


def main(arguments: Namespace) -> None:
    """Run the command."""
    settings = read_section(Evaluate, arguments.settings)
    answers = read_answers(arguments.answers, read_key(arguments.key))
    study = Study(answers, settings.bootstrap_samples, settings.confidence, arguments.seed)
    tables = {name: compute(study) for name, (_, compute) in TABLES.items()}
    for name, table in tables.items():
        TABLES[name][0].write(arguments.output / f"{name}.csv", table)
    sys.stdout.write(in_words(tables, arguments.output))
