"""The page over the trainings of a run: how every network learnt, what the sentinel did, what the dial was set to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.config.sections import Report
from pipeline.reporting import methods_text
from pipeline.reporting.figures.excerpts import Grid, build_grids
from pipeline.reporting.figures.fidelity_dial import Point, dial_drawing, dial_points
from pipeline.reporting.figures.training_curves import (
    STEP,
    Drawing,
    course,
    event_title,
    higher_is_better,
    measure_title,
    measures_of,
    overview_drawings,
    training_drawings,
)
from pipeline.reporting.literature import Bibliography
from pipeline.reporting.run_record import ModelRecord
from pipeline.reporting.tables import records
from pipeline.reporting.templates import render
from pipeline.reporting.titles import NETWORKS, in_order, method_title, network_description
from pipeline.reporting.training_inputs import TrainingRecord

MAX_EVENTS = 60
"""Rows of the sentinel's table; others are counted, not listed."""

SKIPPED = "skipped_step"
"""The mildest kind of event, and the most frequent."""


@dataclass(frozen=True)
class Measure:
    """A measure of the validation in the table over all networks: its last value, its best one, and when that was."""

    last: str
    best: str
    best_step: int


@dataclass(frozen=True)
class EventRow:
    """Something that the sentinel noticed, in words."""

    step: int
    title: str
    what: str
    value: str


@dataclass(frozen=True)
class TrainingPart:
    """One network on the page.

    Attributes:
        method: its name.
        title: as a reader sees it.
        description: what it is, a sentence with marks of references.
        facts: what its card says, as pairs of name and text.
        card: the whole card.
        steps: the last step of the history.
        measures: of the validation, by column.
        drawings: its curves.
        events: what the sentinel noticed, at most `MAX_EVENTS`.
        event_counts: how often it did what.
        more_events: how many are not listed.
        grid: excerpts over time; None where none were kept.
        dial: the curve of the dial; None where there is none.
        points: settings of the dial.
    """

    method: str
    title: str
    description: str
    facts: tuple[tuple[str, str], ...]
    card: str
    steps: int
    measures: dict[str, Measure]
    drawings: list[Drawing]
    events: list[EventRow]
    event_counts: list[tuple[str, int]]
    more_events: int
    grid: Grid | None
    dial: Drawing | None
    points: list[Point]


def training_page(trainings: Sequence[TrainingRecord], record: methods_text.Record, settings: Report) -> str:
    """Write the page over all trainings as HTML.

    Args:
        trainings: of all networks, also of untouched ones.
        record: what made the results (provenance.json).
        settings: the section `report`.

    Raises:
        UserError: a table of a training holds something else than it should.
    """
    deliver = record["config"]["infer"]["deliver"]
    found = {training.method: training for training in trainings}
    ordered = [found[name] for name in in_order(found, deliver)]
    trained = [training for training in ordered if training.trained]
    books = Bibliography()
    parts = training_parts(trained, books)
    columns = list(dict.fromkeys(name for part in parts for name in part.measures))
    return render(
        "training.html.j2",
        style_files=("style.css", "cohort.css"),
        scripts=("tables.js",),
        site_title=settings.title,
        run_name=record["config"]["run"],
        parts=parts,
        untouched=[method_title(training.method) for training in ordered if not training.trained],
        columns=[(name, _heading(name)) for name in columns],
        overview=overview_drawings([training.model for training in trained], deliver),
        deliver=deliver,
        step_word=STEP,
        references=books.references,
        record=record,
    )


def training_parts(trained: Sequence[TrainingRecord], books: Bibliography) -> list[TrainingPart]:
    """Return what the page tells of every network that was trained."""
    with_samples = [training for training in trained if training.samples is not None]
    drawn = build_grids(
        [training.samples for training in with_samples if training.samples is not None],
        [method_title(training.method) for training in with_samples],
    )
    grids = {training.method: grid for training, grid in zip(with_samples, drawn, strict=True)}
    return [_part(training, grids.get(training.method), books) for training in trained]


def _part(training: TrainingRecord, grid: Grid | None, books: Bibliography) -> TrainingPart:
    model, title = training.model, method_title(training.method)
    points = dial_points(training.dial, training.method)
    steps, *_ = course(model)
    return TrainingPart(
        method=training.method,
        title=title,
        description=description(training.method, books),
        facts=tuple(card_facts(model.card)),
        card=model.card,
        steps=int(steps.max(initial=0)),
        measures=measures(model),
        drawings=training_drawings(model, training.events),
        events=event_rows(training.events),
        event_counts=list(Counter(event_title(str(row["kind"])) for row in records(training.events)).items()),
        more_events=max(0, len(training.events) - MAX_EVENTS),
        grid=grid if grid and grid.rows else None,
        dial=dial_drawing(points, title) if points else None,
        points=points,
    )


def description(method: str, books: Bibliography) -> str:
    """Says what a network is, with the mark of the work behind it."""
    reference = NETWORKS[method].reference if method in NETWORKS else ""
    sentence = network_description(method)
    return f"{sentence[0].upper()}{sentence[1:]}{books.cite(reference) if reference else ''}."


def _heading(column: str) -> str:
    title, unit = measure_title(column)
    return f"{title} ({unit})" if unit else title


def measures(model: ModelRecord) -> dict[str, Measure]:
    """Return the last and the best value of every measure of the validation that was taken at least once."""
    found = {}
    for column in measures_of(model.history):
        steps, values = course(model, column)
        if values.size:
            place = int(values.argmax() if higher_is_better(column) else values.argmin())
            found[column] = Measure(f"{values[-1]:.4g}", f"{values[place]:.4g}", int(steps[place]))
    return found


def event_rows(events: pd.DataFrame) -> list[EventRow]:
    """Return the sentinel's events in words, in their order; where they are too many, skipped steps are left out."""
    rows = sorted(records(events), key=lambda row: row["kind"] == SKIPPED)[:MAX_EVENTS]
    return [
        EventRow(int(row["step"]), event_title(str(row["kind"])), _text(row["what"]), _text(row["value"]))
        for row in sorted(rows, key=lambda row: row["step"])
    ]


def _text(value: Any) -> str:
    """Write a cell of a table; an empty one as nothing."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}".replace("-", "\N{MINUS SIGN}")
    return str(value)


def card_facts(card: str) -> list[tuple[str, str]]:
    """Return the items "- Name: text" of a model card's list as pairs; items without a name are left out."""
    items: list[str] = []
    for line in card.splitlines():
        if line.startswith("- "):
            items.append(line[2:])
        elif items and line.startswith(" "):
            items[-1] = _joined(items[-1], line.strip())
        elif items:
            break
    found = (re.match(r"([^:;]{1,80}):\s*(.+)", item) for item in items)
    return [(match[1], match[2]) for match in found if match]


def _joined(text: str, more: str) -> str:
    """Go on with a text; items of a list below it are set apart by semicolons."""
    if not more.startswith("- "):
        return f"{text} {more}"
    return f"{text} {more[2:]}" if text.endswith(":") else f"{text}; {more[2:]}"
