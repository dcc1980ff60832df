"""The page over all volumes of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.config.stages import Report
from pipeline.reporting import words
from pipeline.reporting.curves import Interval, draw_intervals
from pipeline.reporting.inputs import RunRecord
from pipeline.reporting.methods import (
    SPLIT_ORDER,
    classical_methods,
    in_order,
    method_title,
    split_claim,
    split_title,
)
from pipeline.reporting.references import Bibliography
from pipeline.reporting.tables import Column, Table, columns_of, distinct, records, split_table, where
from pipeline.reporting.templates import render
from pipeline.reporting.training_curves import overview_drawings
from pipeline.reporting.verdict import Verdict, verdict
from pipeline.statistics.conclusion import conclusion

UNREADABLE = ("nearest",)
"""Methods so far off that drawing them would squeeze the others together."""


@dataclass(frozen=True)
class SplitPart:
    """One split on the page: what it is, what it proves, its table and its verdict."""

    name: str
    title: str
    claim: str
    heads: str
    covered: str
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
        conclusions=conclusion(
            run.summary,
            run.volumes,
            confidence=confidence,
            title=method_title,
            stacks=words.stacks_of(run.provenance),
        ),
        confidence=confidence,
        intervals=interval_drawings(run, parts, deliver),
        training=overview_drawings(run.models, deliver),
        deliver=deliver,
        **prose(record, [model.method for model in run.models], deliver),
        record=record,
        models=run.models,
    )


def prose(record: words.Record, networks: Sequence[str], deliver: str) -> dict[str, Sequence[Any]]:
    """Returns the methods as `paragraphs`, and the `references` they cite."""
    books = Bibliography()
    paragraphs = [
        words.data_words(record["volumes"], record, books),
        words.extraction_words(record, books),
        words.degrade_words(record, books),
        words.network_words(record, networks, deliver, books),
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
    pictures = not words.stacks_of(run.provenance).isdisjoint(volumes)
    own_slices = words.learnt_from_own_slices(run.provenance)
    table = split_table(run.summary, split, deliver)
    return SplitPart(
        name=split,
        title=split_title(split, pictures=pictures, own_slices=own_slices),
        claim=split_claim(split, min(gaps, default=None), pictures=pictures, own_slices=own_slices),
        heads=heads_words(len(distinct(here, "subject")), pictures=pictures),
        covered=covered_words(len(distinct(here, "subject")), pictures=pictures),
        volumes=volumes,
        table=table,
        verdict=verdict(table, deliver),
    )


def heads_words(subjects: int, *, pictures: bool) -> str:
    """Says how many heads a split holds; of pictures, nobody knows."""
    if pictures:
        return "pictures of heads that are not named"
    return "1 subject" if subjects == 1 else f"{subjects} subjects"


def covered_words(subjects: int, *, pictures: bool) -> str:
    """Says over what the intervals of a split were taken."""
    if pictures:
        return "over the pictures of this split"
    return "over the slices of this subject" if subjects == 1 else "over subjects and slices"


def volume_rows(run: RunRecord) -> list[dict[str, Any]]:
    """Returns the volumes in the order of the configuration, with titles and, where they were measured, their page."""
    measured = distinct(run.volumes, "volume")
    return [
        {
            **volume,
            "spacing_words": " \N{MULTIPLICATION SIGN} ".join(f"{length:.4g}" for length in volume["spacing"]),
            "split_title": split_title(
                volume["split"],
                pictures=volume["id"] in words.stacks_of(run.provenance),
                own_slices=words.learnt_from_own_slices(run.provenance),
            ),
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
