"""The verdict on a run and its metric tables as plain text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from math import nan
from pathlib import Path

import pandas as pd

from pipeline.config.run import NOT_TESTED
from pipeline.provenance.record import FILE_NAME, read_provenance
from pipeline.reporting.frames import distinct, where
from pipeline.reporting.metric_table import MetricTable, Score, split_table
from pipeline.reporting.numbers import format_share
from pipeline.reporting.run_record import by_metric
from pipeline.reporting.titles import SPLIT_ORDER, TESTED, method_title, split_title
from pipeline.reporting.verdict import Verdict, verdict
from pipeline.statistics.summary import MIN_SUBJECTS
from pipeline.tables.summary import SUMMARY
from pipeline.tables.volumes import VOLUMES

WIDTH = 80
"""Columns of a standard terminal."""
BEST = "*"


def run_text(results: Path, *, wide: bool = False) -> str:
    """Return the verdict on a run, its metric tables, and the path of its report.

    Args:
        results: folder of the run's results.
        wide: whether all splits, regions and metrics are shown; otherwise the tables fit into 80 columns.

    Raises:
        UserError: the run has not finished.
    """
    record = read_provenance(results / FILE_NAME)
    metrics = record.config.evaluate.metrics
    summary = by_metric(SUMMARY.read(results / "metrics" / "summary.csv"), metrics)
    volumes = VOLUMES.read(results / "metrics" / "volumes.csv")
    deliver, measured = record.config.infer.deliver, distinct(summary, "split")
    tested = [split for split in TESTED if split in measured]
    tables = {split: split_table(summary, split, deliver) for split in SPLIT_ORDER if split in measured}
    pictures = record.stacks
    paragraphs = []
    if not tested:
        paragraphs.append(textwrap.fill(f"Nothing was tested: {NOT_TESTED}.", WIDTH))
    for split in tables if wide or not tested else tested:
        here = where(volumes, split=split)
        title = split_title(split, pictures=not pictures.isdisjoint(distinct(here, "volume")))
        paragraphs.append(table_text(tables[split], f"Split {split} ({title[0].lower()}{title[1:]})", wide=wide))
    paragraphs.append(f"Report: {results / 'reports' / 'index.html'}")
    if tested:
        found = verdict(tables[tested[0]])
        confidence = record.config.evaluate.confidence
        text = verdict_text(found, deliver, tested[0], confidence)
        covered = coverage_text(where(volumes, split=tested[0]), pictures) if found.deciding else ""
        text = f"{text} {covered}".rstrip()
        paragraphs.append(textwrap.fill(text, WIDTH))
    return "\n\n".join(paragraphs) + "\n"


def table_text(table: MetricTable, title: str, *, wide: bool = False) -> str:
    """Return a metric table as text: one row per method, one column per metric, the best value of each marked.

    Args:
        table: means of a split.
        title: opens the line above the table.
        wide: whether all regions and metrics are shown, one block per region; otherwise as many metrics of the first
            region as fit into 80 columns.
    """
    blocks = []
    regions = list(dict.fromkeys(column.region for column in table.columns))
    for region in regions if wide else regions[:1]:
        metrics = [column for column in table.columns if column.region == region]
        names = ["", *map(method_title, table.methods)]
        columns = [[name.ljust(max(map(len, names))) for name in names]]
        for metric in metrics:
            best = table.best(metric)
            values = [metric.format(table.scores.get((name, metric), Score(nan)).value) for name in table.methods]
            cells = [metric.heading]
            cells += [
                f"{value}{BEST if name == best else ' '}" for name, value in zip(table.methods, values, strict=True)
            ]
            # The mark stays outside the column, so that the digits are aligned.
            cells[0] += " "
            column = [cell.rjust(max(map(len, cells))) for cell in cells]
            if wide or sum(len(one[0]) + 1 for one in columns) + len(column[0]) <= WIDTH:
                columns.append(column)
        left_out = len(metrics) + 1 - len(columns)
        more = f"; {left_out} more with --wide" if left_out else ""
        heading = f"{title}: means over the {metrics[0].region_title.lower()}, {BEST} best{more}"
        lines = [" ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
        blocks.append("\n".join([*textwrap.wrap(heading, WIDTH), "", *lines]))
    return "\n\n".join(blocks)


def verdict_text(found: Verdict, deliver: str, split: str, confidence: float) -> str:
    """Return a sentence that compares the delivered method with the best baseline.

    Args:
        found: the verdict on the split.
        deliver: the delivered method.
        split: name of the split.
        confidence: coverage of the intervals.
    """
    headline = f"{found.headline[0].lower()}{found.headline[1:]}"
    sentence = f"{method_title(deliver)} on the split {split}: {headline}"
    if not found.key_numbers:
        return f"{sentence}."
    one = found.key_numbers[0]
    unit = f" {one.unit}" if one.unit else ""
    sentence += f" ({one.baseline_title}), {one.title} {one.value} against {one.baseline}{unit}"
    if one.interval:
        sentence += f", difference {one.difference}{unit} ({format_share(confidence)} interval {one.interval})"
    return f"{sentence}."


def coverage_text(volumes: pd.DataFrame, pictures: Collection[str] = ()) -> str:
    """Return a sentence on the population that the intervals of a split cover.

    Args:
        volumes: rows of volumes.csv of the split.
        pictures: volumes that are stacks of pictures of unknown subjects.
    """
    if not set(pictures).isdisjoint(distinct(volumes, "volume")):
        return "The interval covers the choice of pictures; their subjects are unknown."
    subjects = len(distinct(volumes, "subject"))
    if subjects == 1:
        return "The interval covers the slices of this one subject, not the differences between subjects."
    if subjects < MIN_SUBJECTS:
        return f"The interval covers these {subjects} subjects, too few for conclusions about other subjects."
    return f"The interval covers the choice of subjects ({subjects}) and of their slices."
