"""The page over all volumes of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.stages import Report
from pipeline.reporting import words
from pipeline.reporting.curves import Interval, Line, draw_intervals, draw_lines
from pipeline.reporting.inputs import ModelRecord, RunRecord
from pipeline.reporting.methods import SPLIT_ORDER, SPLIT_TITLES, classical_methods, in_order, method_title, split_claim
from pipeline.reporting.references import Bibliography
from pipeline.reporting.tables import Column, Table, columns_of, distinct, records, split_table, where
from pipeline.reporting.templates import render
from pipeline.reporting.verdict import Verdict, verdict
from pipeline.statistics.conclusion import conclusion

FEWEST_POINTS = 2
"""A line needs two points."""

UNREADABLE = ("nearest",)
"""Methods so far off that drawing them would squeeze the others together."""


@dataclass(frozen=True)
class SplitPart:
    """One split on the page: what it is, what it proves, its table and its verdict."""

    name: str
    title: str
    claim: str
    subjects: int
    volumes: tuple[str, ...]
    table: Table
    verdict: Verdict


def index_page(run: RunRecord, settings: Report) -> str:
    """Writes the page over all volumes as HTML.

    Args:
        run: tables and records of the run.
        settings: the section `report`.
    """
    record = run.provenance
    deliver = record["config"]["infer"]["deliver"]
    confidence = record["config"]["evaluate"]["confidence"]
    parts = split_parts(run, deliver)
    return render(
        "index.html.j2",
        site_title=settings.title,
        run_name=record["config"]["run"],
        parts=parts,
        volumes=volume_rows(run),
        conclusions=conclusion(run.summary, run.volumes, confidence=confidence, title=method_title),
        confidence=confidence,
        intervals=interval_drawings(run, parts, deliver),
        training=[drawing for model in run.models for drawing in training_curves(model)],
        deliver=deliver,
        **prose(record, deliver),
        record=record,
        models=run.models,
    )


def prose(record: words.Record, deliver: str) -> dict[str, Sequence[Any]]:
    """Returns the methods as `paragraphs`, and the `references` they cite."""
    books = Bibliography()
    paragraphs = [
        words.data_words(record["volumes"], record, books),
        words.extraction_words(record, books),
        words.degrade_words(record, books),
        words.network_words(record, deliver, books),
        words.baseline_words(None),
        words.measure_words(record, books),
        words.workflow_words(record, books),
    ]
    return {"paragraphs": paragraphs, "references": books.texts}


def split_parts(run: RunRecord, deliver: str) -> list[SplitPart]:
    """Returns the splits that were measured, the most telling first."""
    measured = distinct(run.summary, "split")
    return [_split_part(run, split, deliver) for split in SPLIT_ORDER if split in measured]


def _split_part(run: RunRecord, split: str, deliver: str) -> SplitPart:
    here = where(run.volumes, split=split)
    volumes = tuple(distinct(here, "volume"))
    gaps = [gap for volume in volumes if (gap := words.gap_of(run.provenance, volume)) is not None]
    table = split_table(run.summary, split, deliver)
    return SplitPart(
        name=split,
        title=SPLIT_TITLES[split],
        claim=split_claim(split, min(gaps, default=None)),
        subjects=len(distinct(here, "subject")),
        volumes=volumes,
        table=table,
        verdict=verdict(table, deliver),
    )


def volume_rows(run: RunRecord) -> list[dict[str, Any]]:
    """Returns the volumes in the order of the configuration, with titles and, where they were measured, their page."""
    measured = distinct(run.volumes, "volume")
    return [
        {
            **volume,
            "spacing_words": " \N{MULTIPLICATION SIGN} ".join(f"{length:.4g}" for length in volume["spacing"]),
            "split_title": SPLIT_TITLES[volume["split"]],
            "source_title": words.source_of(run.provenance, volume["source"]).get("title") or volume["source"],
            "page": f"{volume['id']}.html" if volume["id"] in measured else "",
        }
        for volume in run.provenance["volumes"]
    ]


def interval_drawings(run: RunRecord, parts: Sequence[SplitPart], deliver: str) -> list[dict[str, str]]:
    """Draws, for every test split and metric over the foreground, the differences to the best classical method."""
    columns = columns_of(run.summary)
    found = []
    for part in parts:
        if part.name == "val":
            continue
        for column in columns:
            if column.region == columns[0].region:
                found.append(_interval_drawing(run.summary, part, column, deliver))
    return found


def _interval_drawing(summary: pd.DataFrame, part: SplitPart, column: Column, deliver: str) -> dict[str, str]:
    here = records(where(summary, split=part.name, region=column.region, metric=column.metric))
    found = {row["method"]: row for row in here}
    methods = [name for name in in_order(found, deliver) if name not in UNREADABLE]
    rows = [_interval(found[name], name, deliver) for name in methods]
    title = f"{part.title}: {column.title}"
    label = f"{column.heading}, difference to {method_title(column.baseline)}"
    text = "; ".join(f"{row.label} {column.format(row.value, sign=True)}" for row in rows)
    return {"image": draw_intervals(title, label, rows), "text": f"{title}. {label}: {text}"}


def _interval(numbers: Mapping[str, Any], method: str, deliver: str) -> Interval:
    style = "delivered" if method == deliver else "baseline" if method in classical_methods() else "network"
    return Interval(method_title(method), numbers["diff"], numbers["diff_ci_low"], numbers["diff_ci_high"], style)


def training_curves(model: ModelRecord) -> list[dict[str, str]]:
    """Draws the loss and the validation measures of a training; the clock is left out, for it differs between runs."""
    history = model.history
    if len(history) < FEWEST_POINTS:
        return []
    losses = [name for name in history.columns if name.startswith("loss")]
    measures = [name for name in history.columns if name.startswith("val_")]
    title = method_title(model.method)
    found = []
    for name in [*losses[:1], *measures]:
        label = "Training loss" if name.startswith("loss") else f"Validation {name.removeprefix('val_').upper()}"
        x, y = (np.array(history[column].tolist(), dtype=float) for column in ("step", name))
        line = Line(label, x, y, "delivered")
        text = f"{title}: {label.lower()} from {line.y[0]:.4g} to {line.y[-1]:.4g} over {int(line.x[-1])} steps"
        found.append({"image": draw_lines(label, "optimiser step", label, [line]), "text": text})
    return found
