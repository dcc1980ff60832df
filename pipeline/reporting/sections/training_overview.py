"""The training of all networks on the index page: validation curves and fidelity dials."""

from __future__ import annotations

from markupsafe import Markup

from pipeline.reporting.figures.fidelity_dial import dial_drawing, dial_points
from pipeline.reporting.figures.training_curves import overview_drawings
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Block, Figure, Figures, Section, Text
from pipeline.reporting.titles import method_title

MORE = Text(
    Markup(
        'The <a href="training.html">page on the trainings</a> shows losses, gradients and discriminators, events of '
        "the training monitor, excerpts over time and the fidelity dial."
    )
)


def for_index(run: RunRecord) -> Section:
    """Show the validation metrics of all networks during training, and the fidelity dials."""
    curves = tuple(Figure(one.image, one.text) for one in overview_drawings(run.models, run.deliver))
    blocks: list[Block] = [Text("No network of this run was validated during training.")]
    if curves:
        note = "Every network counts its own steps. Validation slices monitor the training; they are no evidence."
        blocks = [Figures(curves), Text(note, "note")]
    dials = [(method, dial_points(table, method)) for method, table in sorted(run.dials.items())]
    drawings = [dial_drawing(points, method_title(method)) for method, points in dials if points]
    if drawings:
        blocks.append(Figures(tuple(Figure(one.image, one.text, one.caption) for one in drawings)))
    return Section("training", "Training", (*blocks, MORE))
