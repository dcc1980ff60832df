"""The training of one network: card, curves, events of the sentinel, excerpts and fidelity dial."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pandas as pd

from pipeline.reporting.cells import text_cell
from pipeline.reporting.figures.excerpts import ExcerptGrid, excerpt_grids
from pipeline.reporting.figures.fidelity_dial import dial_figure, dial_points
from pipeline.reporting.figures.training_curves import training_figures
from pipeline.reporting.literature import Bibliography
from pipeline.reporting.section import Block, Cell, Facts, Figures, Folded, Heading, Section, Table, Template, Text
from pipeline.reporting.tables import records
from pipeline.reporting.templates import cited
from pipeline.reporting.titles import NETWORKS, network_description
from pipeline.reporting.training_record import TrainingRecord, TrainingReport, event_title

MAX_EVENTS = 60
"""Maximum number of listed events; more are only counted."""

SKIPPED = "skipped_step"
"""The least severe and most frequent kind of event."""


def network_sections(report: TrainingReport) -> tuple[list[Section], tuple[str, ...]]:
    """Return a section for every trained network, and the references that they cite."""
    with_samples = {training.method: training for training in report.trained if training.samples is not None}
    samples = [training.samples for training in with_samples.values() if training.samples is not None]
    grids = dict(zip(with_samples, excerpt_grids(samples, [one.title for one in with_samples.values()]), strict=True))
    books = Bibliography()
    sections = []
    for training in report.trained:
        blocks = (
            Text(cited(description(training.method, books)), "prose"),
            *_card(training),
            Heading("Training curves"),
            Figures(tuple(training_figures(training.model, training.events))),
            *_events(training),
            *_excerpts(training, grids.get(training.method)),
            *_dial(training),
        )
        sections.append(Section(f"method-{training.method}", training.title, blocks, link=training.title))
    return sections, books.references


def description(method: str, books: Bibliography) -> str:
    """Describe a network in one sentence, with the mark of its reference."""
    reference = NETWORKS[method].reference if method in NETWORKS else ""
    sentence = network_description(method)
    return f"{sentence[0].upper()}{sentence[1:]}{books.cite(reference) if reference else ''}."


def _card(training: TrainingRecord) -> Iterator[Block]:
    facts = (("Name", training.method), *card_facts(training.model.card))
    yield Folded("Model card", (Facts(facts, style="card-facts"),), is_open=True)


def card_facts(card: str) -> list[tuple[str, str]]:
    """Return the items "- Name: text" of the first list of a model card as pairs; items without a name are skipped."""
    items: list[str] = []
    for line in card.splitlines():
        text = line.strip()
        if line.startswith("- "):
            items.append(line[2:])
        elif items and line.startswith(" "):
            nested = text.removeprefix("- ")
            separator = " " if nested == text or items[-1].endswith(":") else "; "
            items[-1] = f"{items[-1]}{separator}{nested}"
        elif items:
            break
    found = (re.match(r"([^:;]{1,80}):\s*(.+)", item) for item in items)
    return [(match[1], match[2]) for match in found if match]


def _events(training: TrainingRecord) -> Iterator[Block]:
    yield Heading("Sentinel events")
    if training.events.empty:
        yield Text("None: no step was skipped and the training was never rolled back.")
        return
    counts = "; ".join(f"{title}: {count}" for title, count in training.event_counts)
    yield Text(f"Vertical lines in the curves above. {counts[0].upper()}{counts[1:]}.", "note")
    yield Table(
        f"events-{training.method}",
        f"Sentinel events of {training.title}",
        ("Step", "Action", "Cause", "Value"),
        tuple(event_rows(training.events)),
        "plain",
    )
    more = len(training.events) - MAX_EVENTS
    if more > 0:
        yield Text(f"{more} more skipped steps are not listed; see events.csv of this network.", "note")


def event_rows(events: pd.DataFrame) -> list[tuple[Cell, ...]]:
    """Return at most `MAX_EVENTS` events in their order; of too many, skipped steps are dropped first."""
    rows = sorted(records(events), key=lambda row: row["kind"] == SKIPPED)[:MAX_EVENTS]
    return [
        (
            Cell.of(row["step"], 0),
            Cell(event_title(str(row["kind"]))),
            text_cell(row["what"]),
            Cell("") if pd.isna(row["value"]) else Cell.of(row["value"]),
        )
        for row in sorted(rows, key=lambda row: row["step"])
    ]


def _excerpts(training: TrainingRecord, grid: ExcerptGrid | None) -> Iterator[Block]:
    if grid is None or not grid.rows:
        return
    yield Heading("Excerpts during training")
    yield Template("excerpts", (training.title, grid))
    lossy = "" if grid.lossless else " The images are stored with slight loss to keep the page small."
    yield Text(
        "Validation excerpts: low-resolution input, states of the training, and reference, in one intensity window. "
        f"{grid.note}{lossy}",
        "note",
    )


def _dial(training: TrainingRecord) -> Iterator[Block]:
    points = dial_points(training.dial, training.method)
    if not points:
        return
    yield Heading("Fidelity dial")
    yield Figures((dial_figure(points, training.title),))
    yield Table(
        f"dial-{training.method}",
        f"Settings of the fidelity dial of {training.title}, on validation volumes",
        ("Alpha", "PSNR (dB)", "SSIM", "Perceptual distance", "Residual", "Noise level", "Allowed"),
        tuple(
            (
                Cell.of(point.alpha, aside="chosen" if point.chosen else ""),
                Cell.of(point.psnr, 2),
                Cell.of(point.ssim, 4),
                Cell.of(point.perceptual),
                Cell.of(point.residual),
                Cell.of(point.noise),
                Cell("yes" if point.allowed else "no"),
            )
            for point in points
        ),
        "plain",
        row_styles=tuple("delivered" if point.chosen else "" for point in points),
    )
    chosen = "" if any(point.chosen for point in points) else " No setting was chosen."
    yield Text(
        "Residual: root mean square difference between the result, degraded again, and the low-resolution input; to be "
        f"compared with the noise level.{chosen}",
        "note",
    )
