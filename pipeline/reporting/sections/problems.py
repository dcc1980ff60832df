"""What went wrong on the test volumes: failed gates, setbacks, metrics by which the deliverable is worse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline.reporting.cells import volume_links
from pipeline.reporting.frames import distinct
from pipeline.reporting.run_record import RunRecord, tested
from pipeline.reporting.section import Block, Items, Section, Text
from pipeline.reporting.sections.gates import failed_gates
from pipeline.reporting.sections.volumes import gains
from pipeline.reporting.setbacks import split_setbacks
from pipeline.reporting.titles import TESTED, method_title
from pipeline.tables.gates import GATES
from pipeline.tables.inserted_structures import INSERTED_STRUCTURES
from pipeline.tables.tissue_agreement import TISSUE_AGREEMENT

MAX_LINKS = 12


@dataclass(frozen=True)
class Problem:
    """Something that went wrong: what, in which volumes (none: in a split as a whole), and the numbers behind it."""

    what: str
    volumes: tuple[str, ...] = ()
    numbers: str = ""


def for_index(run: RunRecord) -> Section | None:
    """List what went wrong on the test volumes."""
    count = len(distinct(tested(run.volumes), "volume"))
    if count == 0:
        return None
    found = problems(run)
    blocks: tuple[Block, ...] = (_none_found(run),)
    if found:
        blocks = (
            Items(tuple(_sentence(problem, count) for problem in found), "problems"),
            Text(
                "Metrics are compared by the mean of every volume, the worst volume first. Everything is listed, "
                "whether or not the difference is larger than chance.",
                "note",
            ),
        )
    return Section("failures", "What went wrong", blocks)


def _sentence(problem: Problem, count: int) -> Markup:
    text = Markup("<strong>{}</strong>").format(problem.what)
    if problem.volumes:
        links = volume_links(problem.volumes, MAX_LINKS)
        places = f", in {len(problem.volumes)} of {count} test volume{'s' if count != 1 else ''}: "
        text += Markup("{}{}").format(places, links)
    return text + Markup(". {}").format(problem.numbers) if problem.numbers else text


def _none_found(run: RunRecord) -> Text:
    title = method_title(run.deliver)
    if run.deliver not in distinct(run.volumes, "method"):
        return Text(f"The deliverable, {title}, was not evaluated.", "problems")
    parts = [
        f"{title} is not worse than the best baseline on any test volume, by any metric over the foreground",
        "it failed no gate" if not run.table(GATES).empty else "",
        "it preserves no fewer inserted structures" if not run.table(INSERTED_STRUCTURES).empty else "",
        "tissue volumes are no further from the reference" if not run.table(TISSUE_AGREEMENT).empty else "",
    ]
    return Text(f"Nothing was found: {', '.join(filter(None, parts))}.", "problems none")


def problems(run: RunRecord) -> list[Problem]:
    """Return what went wrong: failed gates, setbacks, and metrics by which the deliverable is worse on some volumes."""
    setbacks = [
        Problem(one.title if one.volumes else f"{one.title}, split {split}", one.volumes, one.text)
        for split in TESTED
        for one in split_setbacks(run, split)
    ]
    return [*_failed_gates(run), *setbacks, *_losses(run)]


def _failed_gates(run: RunRecord) -> Iterator[Problem]:
    by_gate: dict[str, list[str]] = {}
    for volume, gates in failed_gates(run.table(GATES), run.deliver).items():
        for gate in gates:
            by_gate.setdefault(gate, []).append(volume)
    for gate, volumes in by_gate.items():
        yield Problem(f"{method_title(run.deliver)} failed the gate “{gate}”", tuple(volumes))


def _losses(run: RunRecord) -> Iterator[Problem]:
    for column in run.main_columns:
        measured: Any = gains(run, column)
        gain = measured["gain"].sort_values()
        worse = tuple(str(volume) for volume in gain.index[gain < 0])
        if worse and column.baseline != run.deliver:
            names = f"{method_title(run.deliver)} is worse than {method_title(column.baseline)}"
            yield Problem(f"{names} by {column.title}", worse)
