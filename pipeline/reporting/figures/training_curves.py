"""The curves of a training: losses, validation, gradients, discriminator, diversity, learning rate.

The clock of the history is left out, for it differs between runs.
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
from pipeline.reporting.run_record import ModelRecord
from pipeline.reporting.tables import records
from pipeline.reporting.titles import in_order, loss_title, method_title, network_colours

MAX_POINTS = 160
"""Lines with more points are drawn as means over neighbouring rows, with a band from the lowest to the highest."""

STEP = "optimiser step"
EVENT_TITLES = {
    "skipped_step": "step skipped",
    "rolled_back": "rolled back",
    "stopped": "training stopped",
}
METRICS = "pipeline.metrics"


@dataclass(frozen=True)
class Drawing:
    """A drawing as data URI, what it shows in words for those who do not see it, and how to read it."""

    image: str
    text: str
    caption: str


@dataclass(frozen=True)
class Plan:
    """What goes into one drawing: columns of the history with their labels, and how they are drawn."""

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
        "On a logarithmic axis. A norm that leaps up or dies away is how a training begins to fail.",
        logarithmic=True,
    ),
    Plan(
        "Discriminator",
        "probability",
        {
            "discriminator_real": "given to reference",
            "discriminator_fake": "given to results",
            "gap": "gap between them",
        },
        "Mean probability that the discriminator takes a patch for true. Where the gap is near 0 it cannot tell the "
        "two apart; where it is near 1 it has won, and the generator learns little from it.",
    ),
    Plan(
        "Diversity",
        "output change / input change",
        {"diversity": "diversity"},
        "A network whose output no longer follows its input has collapsed; its diversity is near 0.",
    ),
    Plan("Learning rate", "learning rate", {"learning_rate": "learning rate"}, "Of the generator."),
    Plan(
        "Adversarial weight",
        "weight",
        {"adversarial_weight": "adversarial weight"},
        "How much the generator listens to the discriminator; the sentinel cuts it when a training is set back.",
    ),
)


def measure_title(column: str) -> tuple[str, str]:
    """Return title and unit of a column such as "val_psnr"; one that is no metric keeps its own name."""
    name = column.removeprefix("val_")
    if name not in plugins.names(METRICS):
        return name.replace("_", " "), ""
    module = plugins.load(METRICS, name)
    return module.TITLE, module.UNIT


def higher_is_better(column: str) -> bool:
    """Says in which direction a column such as "val_psnr" gets better; unknown ones count as distances."""
    name = column.removeprefix("val_")
    return bool(plugins.load(METRICS, name).HIGHER_IS_BETTER) if name in plugins.names(METRICS) else False


def measures_of(history: pd.DataFrame) -> list[str]:
    """Return the columns with measures of the validation, in the order of the table."""
    return [name for name in history.columns if name.startswith("val_")]


def course(model: ModelRecord, *columns: str) -> tuple[NDArray[np.float64], ...]:
    """Return the steps and the values of columns of the history, without the rows in which one of them is empty.

    Without columns, these are all steps. Where the history lacks one of the columns, all arrays are empty.

    Raises:
        UserError: a column holds something else than numbers.
    """
    wanted = ("step", *columns)
    if not set(wanted) <= set(model.history.columns):
        return tuple(np.array([]) for _ in wanted)
    try:
        values = [np.array(model.history[name].tolist(), dtype=np.float64) for name in wanted]
    except ValueError as error:
        raise UserError(
            f"history.csv of {model.method}: {error}. Delete the folder of this network and train again."
        ) from error
    usable = np.logical_and.reduce([np.isfinite(one) for one in values])
    return tuple(one[usable] for one in values)


def thinned(line: Line) -> Line:
    """Return a line of at most `MAX_POINTS` points: means over neighbours, with a band of their range."""
    count = line.x.size
    if count <= MAX_POINTS:
        return line
    starts = np.arange(MAX_POINTS) * count // MAX_POINTS
    sizes = np.diff(starts, append=count)
    x, y = (np.add.reduceat(values, starts) / sizes for values in (line.x, line.y))
    band = (np.minimum.reduceat(line.y, starts), np.maximum.reduceat(line.y, starts))
    return replace(line, x=x, y=y, band=band)


def overview_drawings(models: Sequence[ModelRecord], deliver: str) -> list[Drawing]:
    """Draw every measure of the validation with a line for each network that was trained."""
    trained = {model.method: model for model in models if not model.history.empty}
    columns = dict.fromkeys(name for model in trained.values() for name in measures_of(model.history))
    order = in_order(trained, deliver)
    found = [_overview(column, [trained[name] for name in order], deliver) for column in columns]
    return [drawing for drawing in found if drawing is not None]


def _overview(column: str, models: Sequence[ModelRecord], deliver: str) -> Drawing | None:
    colours = network_colours(model.method for model in models)
    lines, words = [], []
    for model in models:
        x, y = course(model, column)
        if x.size:
            line = Line(method_title(model.method), x, y, _overview_style(model, deliver), colours[model.method])
            words.append(_course_words(line))
            lines.append(thinned(replace(line, x=100 * x / course(model)[0].max())))
    if not lines:
        return None
    title, unit = measure_title(column)
    label = f"Validation {title}"
    return Drawing(
        image=draw_lines(label, "share of its own training (%)", f"{label} ({unit})" if unit else label, lines),
        text=f"{label}: {'; '.join(words)}",
        caption="Every network over its own training; those that go on from another begin where that one ended.",
    )


def _overview_style(model: ModelRecord, deliver: str) -> str:
    return "delivered" if model.method == deliver else "part"


def training_drawings(model: ModelRecord, events: pd.DataFrame) -> list[Drawing]:
    """Draw the curves of one training with the sentinel's events; columns that are absent or empty give none."""
    marks = event_marks(events)
    plans = (loss_plan(model.history), *(measure_plan(name) for name in measures_of(model.history)), *PLANS)
    found = [_draw(plan, model, marks) for plan in plans]
    return [drawing for drawing in found if drawing is not None]


def event_marks(events: pd.DataFrame) -> list[Marks]:
    """Return the sentinel's events as marks, one kind after the other in the order in which they first came."""
    places: dict[str, list[float]] = {}
    for row in records(events):
        places.setdefault(str(row["kind"]), []).append(float(row["step"]))
    return [Marks(kind, event_title(kind), tuple(steps)) for kind, steps in places.items()]


def event_title(kind: str) -> str:
    """Return what the sentinel did, in words."""
    return EVENT_TITLES.get(kind, kind.replace("_", " "))


def loss_plan(history: pd.DataFrame) -> Plan:
    """Return what is drawn of the losses: the sum, where it has parts, and every part."""
    parts = [name for name in history.columns if name.startswith("loss_")]
    titles = {name: loss_title(name.removeprefix("loss_")) for name in parts}
    whole = {"loss": "whole loss"} if len(parts) != 1 else {}
    return Plan("Losses of the generator", "loss", {**whole, **titles}, "What the generator minimises, and its terms.")


def measure_plan(column: str) -> Plan:
    """Return what is drawn of a measure of the validation."""
    title, unit = measure_title(column)
    better = "Higher" if higher_is_better(column) else "Lower"
    caption = f"On slices of the validation volumes. {better} is better; it served to watch, and proves nothing."
    return Plan(f"Validation {title}", f"{title} ({unit})" if unit else title, {column: title}, caption)


def _draw(plan: Plan, model: ModelRecord, marks: Sequence[Marks]) -> Drawing | None:
    lines = _lines(plan, model)
    if not lines:
        return None
    lines = _coloured(lines)
    positive = all((line.y > 0).all() for line in lines)
    logarithmic = plan.logarithmic or (plan.unit == "loss" and positive)
    drawn = [thinned(line) for line in lines]
    events = "".join(f"; {mark.label} {len(mark.places)} times" for mark in marks)
    return Drawing(
        image=draw_lines(plan.title, STEP, plan.unit, drawn, marks=marks, logarithmic=logarithmic),
        text=f"{method_title(model.method)}, {plan.title.lower()}: "
        f"{'; '.join(_course_words(line) for line in lines)}{events}",
        caption=plan.caption,
    )


def _lines(plan: Plan, model: ModelRecord) -> list[Line]:
    found = []
    for column, label in plan.columns.items():
        x, y = _gap(model) if column == "gap" else course(model, column)
        if x.size:
            found.append(Line(label, x, y, "dashed" if column == "gap" else "part"))
    return found


def _gap(model: ModelRecord) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, real, fake = course(model, "discriminator_real", "discriminator_fake")
    return x, real - fake


def _coloured(lines: Sequence[Line]) -> list[Line]:
    """Return a lone line the main style, and several a colour each."""
    if len(lines) == 1:
        return [replace(lines[0], style="delivered")]
    return [
        line if line.style == "dashed" else replace(line, colour=PART_COLOURS[place % len(PART_COLOURS)])
        for place, line in enumerate(lines)
    ]


def _course_words(line: Line) -> str:
    return f"{line.label} from {line.y[0]:.4g} to {line.y[-1]:.4g} over {int(line.x[-1])} steps"
