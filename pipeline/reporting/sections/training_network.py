"""The training of one network: card, curves, events of the sentinel, excerpts and fidelity dial."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from pipeline.reporting.figures.excerpts import ExcerptGrid, excerpt_grids
from pipeline.reporting.figures.fidelity_dial import dial_figure
from pipeline.reporting.figures.training_curves import training_figures
from pipeline.reporting.literature import Bibliography
from pipeline.reporting.section import Block, Cell, Facts, Figures, Folded, Heading, Section, Table, Template, Text
from pipeline.reporting.templates import cited
from pipeline.reporting.titles import NETWORKS, network_description
from pipeline.reporting.training_record import TrainingRecord, TrainingReport, event_title
from pipeline.tables.training_events import TrainingEvent

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
    if not training.events:
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


def event_rows(events: Sequence[TrainingEvent]) -> list[tuple[Cell, ...]]:
    """Return at most `MAX_EVENTS` events in their order; of too many, skipped steps are dropped first."""
    severe_first = sorted(events, key=lambda event: event.kind == SKIPPED)
    return [
        (
            Cell.of(event.step, 0),
            Cell(event_title(event.kind)),
            Cell(event.what),
            Cell("") if math.isnan(event.value) else Cell.of(event.value),
        )
        for event in sorted(severe_first[:MAX_EVENTS], key=lambda event: event.step)
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
    settings = training.dial
    if not settings:
        return
    yield Heading("Fidelity dial")
    yield Figures((dial_figure(settings, training.title),))
    yield Table(
        f"dial-{training.method}",
        f"Settings of the fidelity dial of {training.title}, on validation volumes",
        ("Alpha", "PSNR (dB)", "SSIM", "Perceptual distance", "Residual", "Noise level", "Allowed"),
        tuple(
            (
                Cell.of(setting.alpha, aside="chosen" if setting.chosen else ""),
                Cell.of(setting.psnr, 2),
                Cell.of(setting.ssim, 4),
                Cell.of(setting.perceptual),
                Cell.of(setting.lr_residual),
                Cell.of(setting.noise_level),
                Cell("yes" if setting.allowed else "no"),
            )
            for setting in settings
        ),
        "plain",
        row_styles=tuple("delivered" if setting.chosen else "" for setting in settings),
    )
    chosen = "" if any(setting.chosen for setting in settings) else " No setting was chosen."
    yield Text(
        "Residual: root mean square difference between the result, degraded again, and the low-resolution input; to be "
        f"compared with the noise level.{chosen}",
        "note",
    )
