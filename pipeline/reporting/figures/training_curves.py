"""Training curves: losses, validation metrics, gradients, discriminator, diversity, learning rate.

Wall-clock times are not drawn, because they differ between runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.reporting.figures.lines import PART_COLOURS, Line, Marks, draw_lines
from pipeline.reporting.numbers import format_number
from pipeline.reporting.run_record import ModelRecord
from pipeline.reporting.section import Figure
from pipeline.reporting.titles import in_order, loss_title, method_title, network_colours
from pipeline.reporting.training_record import event_title
from pipeline.tables.training_events import TrainingEvent

MAX_POINTS = 160
"""Maximum number of points of a line; longer ones are averaged over neighbouring rows, with a band for their range."""

STEP = "optimiser step"
METRICS = "pipeline.metrics"


@dataclass(frozen=True)
class Plan:
    """Columns of the history in one figure with their labels, and how they are drawn."""

    title: str
    unit: str
    columns: Mapping[str, str]
    caption: str
    logarithmic: bool = False


PLANS = (
    Plan(
        "Gradient norms",
        "norm",
        {"gradient_generator": "generator", "gradient_discriminator": "discriminator"},
        "Logarithmic axis. Exploding or vanishing gradients are the first sign of a failing training.",
        logarithmic=True,
    ),
    Plan(
        "Discriminator",
        "probability",
        {
            "discriminator_real": "reference",
            "discriminator_fake": "network output",
            "gap": "difference",
        },
        "Mean probability that the discriminator assigns to being real. With a difference near 0 it cannot distinguish "
        "the two; with a difference near 1 it dominates, and the generator learns little from it.",
    ),
    Plan(
        "Diversity",
        "output change / input change",
        {"diversity": "diversity"},
        "Near 0 after mode collapse, when the output no longer depends on the input.",
    ),
    Plan("Learning rate", "learning rate", {"learning_rate": "learning rate"}, "Learning rate of the generator."),
    Plan(
        "Adversarial weight",
        "weight",
        {"adversarial_weight": "adversarial weight"},
        "Weight of the adversarial loss; the sentinel reduces it after a rollback.",
    ),
)


def metric_title(column: str) -> tuple[str, str]:
    """Return title and unit of a column such as "val_psnr"; an unknown metric keeps its name."""
    name = column.removeprefix("val_")
    if name not in plugins.names(METRICS):
        return name.replace("_", " "), ""
    module = plugins.load(METRICS, name)
    return module.TITLE, module.UNIT


def higher_is_better(column: str) -> bool:
    """Return whether higher values of a column such as "val_psnr" are better; False for unknown metrics."""
    name = column.removeprefix("val_")
    return bool(plugins.load(METRICS, name).HIGHER_IS_BETTER) if name in plugins.names(METRICS) else False


def validation_columns(history: pd.DataFrame) -> list[str]:
    """Return the columns with validation metrics, in the order of the table."""
    return [name for name in history.columns if name.startswith("val_")]


def history_values(model: ModelRecord, *columns: str) -> tuple[NDArray[np.float64], ...]:
    """Return the steps and the values of columns of the history, without rows in which one of them is empty.

    Without columns, all steps are returned. If the history lacks a column, all arrays are empty.

    Raises:
        UserError: a column contains something other than numbers.
    """
    wanted = ("step", *columns)
    if not set(wanted) <= set(model.history.columns):
        return tuple(np.array([]) for _ in wanted)
    try:
        values = [np.array(model.history[name].tolist(), dtype=np.float64) for name in wanted]
    except ValueError as error:
        raise UserError(
            f"history.csv of {model.method}: {error}. Delete the folder of this network and train it again."
        ) from error
    usable = np.logical_and.reduce([np.isfinite(one) for one in values])
    return tuple(one[usable] for one in values)


def thinned(line: Line) -> Line:
    """Reduce a line to at most `MAX_POINTS` points: means over neighbours, with a band for their range."""
    count = line.x.size
    if count <= MAX_POINTS:
        return line
    starts = np.arange(MAX_POINTS) * count // MAX_POINTS
    sizes = np.diff(starts, append=count)
    x, y = (np.add.reduceat(values, starts) / sizes for values in (line.x, line.y))
    band = (np.minimum.reduceat(line.y, starts), np.maximum.reduceat(line.y, starts))
    return replace(line, x=x, y=y, band=band)


def overview_figures(models: Sequence[ModelRecord], deliver: str) -> list[Figure]:
    """Draw every validation metric with one line per trained network."""
    trained = {model.method: model for model in models if not model.history.empty}
    columns = dict.fromkeys(name for model in trained.values() for name in validation_columns(model.history))
    order = in_order(trained, deliver)
    found = [_overview(column, [trained[name] for name in order], deliver) for column in columns]
    return [figure for figure in found if figure is not None]


def _overview(column: str, models: Sequence[ModelRecord], deliver: str) -> Figure | None:
    colours = network_colours(model.method for model in models)
    lines, texts = [], []
    for model in models:
        x, y = history_values(model, column)
        if x.size:
            style = "delivered" if model.method == deliver else "part"
            line = Line(method_title(model.method), x, y, style, colours[model.method])
            texts.append(_range_text(line))
            lines.append(thinned(replace(line, x=100 * x / history_values(model)[0].max())))
    if not lines:
        return None
    title, unit = metric_title(column)
    label = f"Validation {title}"
    return Figure(
        image=draw_lines(label, "training progress (%)", f"{label} ({unit})" if unit else label, lines),
        alt=f"{label}: {'; '.join(texts)}",
        caption="Over the course of each training. A network that continues another one starts where that ended.",
    )


def training_figures(model: ModelRecord, events: Sequence[TrainingEvent]) -> list[Figure]:
    """Draw the curves of one training with the events of the sentinel; missing or empty columns are skipped."""
    marks = event_marks(events)
    plans = (loss_plan(model.history), *(metric_plan(name) for name in validation_columns(model.history)), *PLANS)
    found = [_draw(plan, model, marks) for plan in plans]
    return [figure for figure in found if figure is not None]


def event_marks(events: Sequence[TrainingEvent]) -> list[Marks]:
    """Return the events of the sentinel as marks by kind, in the order of their first occurrence."""
    places: dict[str, list[float]] = {}
    for event in events:
        places.setdefault(event.kind, []).append(float(event.step))
    return [Marks(kind, event_title(kind), tuple(steps)) for kind, steps in places.items()]


def loss_plan(history: pd.DataFrame) -> Plan:
    """Return the plan of the losses: every term, and their sum if there are several."""
    parts = [name for name in history.columns if name.startswith("loss_")]
    titles = {name: loss_title(name.removeprefix("loss_")) for name in parts}
    whole = {"loss": "total loss"} if len(parts) != 1 else {}
    return Plan("Generator loss", "loss", {**whole, **titles}, "Total loss of the generator and its terms.")


def metric_plan(column: str) -> Plan:
    """Return the plan of a validation metric."""
    title, unit = metric_title(column)
    better = "Higher" if higher_is_better(column) else "Lower"
    caption = f"On slices of the validation volumes. {better} is better. For monitoring only: not evidence of quality."
    return Plan(f"Validation {title}", f"{title} ({unit})" if unit else title, {column: title}, caption)


def _draw(plan: Plan, model: ModelRecord, marks: Sequence[Marks]) -> Figure | None:
    lines = _lines(plan, model)
    if not lines:
        return None
    lines = _coloured(lines)
    positive = all((line.y > 0).all() for line in lines)
    logarithmic = plan.logarithmic or (plan.unit == "loss" and positive)
    drawn = [thinned(line) for line in lines]
    events = "".join(f"; {mark.label} {len(mark.places)} times" for mark in marks)
    return Figure(
        image=draw_lines(plan.title, STEP, plan.unit, drawn, marks=marks, logarithmic=logarithmic),
        alt=f"{method_title(model.method)}, {plan.title.lower()}: "
        f"{'; '.join(_range_text(line) for line in lines)}{events}",
        caption=plan.caption,
    )


def _lines(plan: Plan, model: ModelRecord) -> list[Line]:
    found = []
    for column, label in plan.columns.items():
        if column == "gap":
            x, real, fake = history_values(model, "discriminator_real", "discriminator_fake")
            y = real - fake
        else:
            x, y = history_values(model, column)
        if x.size:
            found.append(Line(label, x, y, "dashed" if column == "gap" else "part"))
    return found


def _coloured(lines: Sequence[Line]) -> list[Line]:
    """Give a single line the main style, and several lines a colour each."""
    if len(lines) == 1:
        return [replace(lines[0], style="delivered")]
    return [
        line if line.style == "dashed" else replace(line, colour=PART_COLOURS[place % len(PART_COLOURS)])
        for place, line in enumerate(lines)
    ]


def _range_text(line: Line) -> str:
    return f"{line.label} from {format_number(line.y[0])} to {format_number(line.y[-1])} over {int(line.x[-1])} steps"
