"""Overview of all trainings: validation metrics, events of the sentinel and fidelity dials."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from pipeline.reporting.figures.fidelity_dial import dial_figure
from pipeline.reporting.figures.training_curves import (
    higher_is_better,
    history_values,
    metric_title,
    overview_figures,
    validation_columns,
)
from pipeline.reporting.numbers import MISSING
from pipeline.reporting.run_record import ModelRecord, RunRecord
from pipeline.reporting.section import Block, Cell, Figures, Section, Table, Text
from pipeline.reporting.titles import method_title
from pipeline.reporting.training_record import TrainingReport

MORE = Text(
    Markup(
        'The <a href="training.html">page on the trainings</a> shows losses, gradients and discriminators, events of '
        "the training monitor, excerpts over time and the fidelity dial."
    )
)

SCOPE = Markup(
    "All values on this page come from validation slices or training patches and describe the trainings only. For the "
    'quality of the networks on other images, see the <a href="index.html">page of all volumes</a>. A line with a pale '
    "band is a mean over neighbouring rows of the history; the band shows their range."
)


def for_index(run: RunRecord) -> Section | None:
    """Show the validation metrics of all networks during training, and the fidelity dials."""
    if not run.models:
        return None
    curves = tuple(overview_figures(run.models, run.deliver))
    blocks: list[Block] = [Text("No network of this run was validated during training.")]
    if curves:
        note = "Every network counts its own steps. Validation slices monitor the training; they are no evidence."
        blocks = [Figures(curves), Text(note, "note")]
    figures = [dial_figure(settings, method_title(method)) for method, settings in sorted(run.dials.items())]
    if figures:
        blocks.append(Figures(tuple(figures)))
    return Section("training", "Training", (*blocks, MORE))


@dataclass(frozen=True)
class ValidationMetric:
    """Last and best value of a validation metric, and the step of the best value."""

    last: float
    best: float
    best_step: int


def for_training(report: TrainingReport) -> Section:
    """Return the table and the validation curves of all trained networks."""
    blocks: list[Block] = [Text(SCOPE, "note")]
    trained = report.trained
    if trained:
        metrics = {training.method: validation_metrics(training.model) for training in trained}
        columns = list(dict.fromkeys(name for found in metrics.values() for name in found))
        rows = []
        for training in trained:
            cells = [
                Cell(
                    training.title,
                    link=f"#method-{training.method}",
                    aside="deliverable" if training.method == report.deliver else "",
                ),
                Cell.of(history_values(training.model)[0].max(initial=0), 0),
            ]
            for name in columns:
                found = metrics[training.method].get(name)
                if found is None:
                    cells += [Cell(MISSING), Cell(MISSING)]
                else:
                    cells += [Cell.of(found.last), Cell.of(found.best, aside=f"step {found.best_step}")]
            events = ", ".join(f"{title} ({count})" for title, count in training.event_counts)
            rows.append((*cells, Cell(events or "no events")))
        named = [metric_title(name) for name in columns]
        headings = [f"{title} ({unit})" if unit else title for title, unit in named]
        pairs = [text for heading in headings for text in (f"{heading}, last", "best")]
        table = Table("trainings", "All trainings", ("Network", "Steps", *pairs, "Sentinel"), tuple(rows), "plain")
        models = [training.model for training in trained]
        blocks += [table, Figures(tuple(overview_figures(models, report.deliver)))]
    else:
        blocks.append(Text("No network of this run was trained."))
    untrained = ", ".join(method_title(training.method) for training in report.ordered if not training.trained)
    if untrained:
        blocks.append(Text(f"Used without further training: {untrained}.", "note"))
    return Section("overview", "All networks", tuple(blocks))


def validation_metrics(model: ModelRecord) -> dict[str, ValidationMetric]:
    """Return the last and the best value of every validation metric with at least one value."""
    found = {}
    for column in validation_columns(model.history):
        steps, values = history_values(model, column)
        if values.size:
            place = int(values.argmax() if higher_is_better(column) else values.argmin())
            found[column] = ValidationMetric(values[-1], values[place], int(steps[place]))
    return found
