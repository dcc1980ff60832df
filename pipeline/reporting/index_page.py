"""The page over all volumes of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from pipeline.config.sections import Report
from pipeline.reporting import methods_text
from pipeline.reporting.cohort_inputs import Cohort
from pipeline.reporting.cohort_parts import (
    Part,
    comparisons_part,
    diagnosis_part,
    duplicates_part,
    gates_part,
    inserted_part,
    ledger_part,
    reliability_part,
    spread_pictures,
    tissue_part,
    title_of_split,
)
from pipeline.reporting.cohort_volumes import split_setbacks, tested_volumes, troubles, volume_listing, winners
from pipeline.reporting.figures.fidelity_dial import dial_drawing, dial_points
from pipeline.reporting.figures.training_curves import Drawing, overview_drawings
from pipeline.reporting.literature import Bibliography
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.setbacks import Setback
from pipeline.reporting.tables import Table, columns_of, distinct, first_region, records, split_table, where
from pipeline.reporting.templates import render
from pipeline.reporting.titles import SPLIT_ORDER, TESTED, method_title, split_claim, split_title
from pipeline.reporting.verdict import Verdict, verdict
from pipeline.statistics.conclusion import findings, reach

STYLE_FILES, SCRIPTS = ("style.css", "cohort.css"), ("listing.js",)
MAX_CONCLUDED = 2
"""Measures whose conclusions on the deliverable are shown at once; the others are folded away."""


@dataclass(frozen=True)
class SplitPart:
    """One split on the page: what it is and proves, which methods win, its table, verdict, and what speaks against."""

    name: str
    title: str
    claim: str
    heads: str
    covered: str
    volumes: tuple[str, ...]
    winners: list[tuple[str, list[str]]]
    table: Table
    verdict: Verdict
    setbacks: list[Setback]


def index_page(run: RunRecord, settings: Report, cohort: Cohort | None = None) -> str:
    """Write the page over all volumes as HTML.

    Args:
        run: tables and records of the run.
        settings: the section `report`.
        cohort: tables that not every run has.
    """
    record = run.provenance
    cohort = cohort or Cohort()
    deliver = record["config"]["infer"]["deliver"]
    confidence = record["config"]["evaluate"]["confidence"]
    stacks = methods_text.stacks_of(record)
    shown, folded = (
        findings(table, run.volumes, confidence=confidence, title=method_title, stacks=stacks)
        for table in by_weight(run.summary, deliver)
    )
    parts = split_parts(run, cohort, deliver)
    return render(
        "index.html.j2",
        style_files=STYLE_FILES,
        scripts=SCRIPTS,
        site_title=settings.title,
        run_name=record["config"]["run"],
        parts=parts,
        volumes=volume_rows(run),
        conclusions=[sentence for sentences in shown.values() for sentence in sentences],
        more_conclusions=[sentence for sentences in folded.values() for sentence in sentences],
        limits=[reach(part.name, run.volumes, stacks) for part in parts if part.name in TESTED],
        confidence=confidence,
        listing=volume_listing(run, cohort, deliver),
        troubles=troubles(run, cohort, deliver),
        tested=len(tested_volumes(run)),
        gated=not cohort.gates.empty,
        inserted=not cohort.inserted.empty,
        tissue=not cohort.tissue_agreement.empty,
        measured=deliver in distinct(run.volumes, "method"),
        spreads=spread_pictures(run, deliver),
        sections=sections(run, cohort, deliver),
        training=overview_drawings(run.models, deliver),
        dials=dial_drawings(cohort),
        deliver=deliver,
        deliver_title=method_title(deliver),
        **prose(record, [model.method for model in run.models], deliver),
        record=record,
        models=run.models,
    )


def sections(run: RunRecord, cohort: Cohort, deliver: str) -> list[Part]:
    """Return the parts for which the run has a table with rows, in the order of the page."""
    baseline = first_region(columns_of(run.summary))[0].baseline
    found = [
        gates_part(cohort, deliver),
        ledger_part(run, deliver),
        inserted_part(cohort, deliver, baseline),
        reliability_part(cohort, deliver),
        comparisons_part(run, cohort, deliver),
        tissue_part(cohort, deliver),
        diagnosis_part(cohort, deliver),
        duplicates_part(cohort),
    ]
    return [part for part in found if part is not None]


def dial_drawings(cohort: Cohort) -> list[Drawing]:
    """Draw the fidelity dial of every network that has one."""
    return [
        dial_drawing(points, method_title(method))
        for method, table in sorted(cohort.dials.items())
        if (points := dial_points(table, method))
    ]


def by_weight(summary: pd.DataFrame, deliver: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the deliverable by the first measures of likeness, and all others."""
    likeness = [column.metric for column in first_region(columns_of(summary)) if not column.of_one_property]
    measures = likeness[:MAX_CONCLUDED]
    own: Any = (summary["method"] == deliver) & summary["metric"].isin(measures)
    return cast(pd.DataFrame, summary[own]), cast(pd.DataFrame, summary[~own])


def prose(record: methods_text.Record, networks: Sequence[str], deliver: str) -> dict[str, Sequence[Any]]:
    """Return the methods as `paragraphs`, and the `references` they cite."""
    books = Bibliography()
    paragraphs = [
        methods_text.data_words(record["volumes"], record, books),
        methods_text.extraction_words(record, books),
        methods_text.degrade_words(record, books),
        methods_text.network_words(record, networks, deliver, books),
        methods_text.baseline_words(None),
        methods_text.measure_words(record, books),
        methods_text.workflow_words(record, books),
    ]
    return {"paragraphs": paragraphs, "references": books.texts}


def split_parts(run: RunRecord, cohort: Cohort, deliver: str) -> list[SplitPart]:
    """Return the splits that were measured, the most telling first."""
    measured = distinct(run.summary, "split")
    return [_split_part(run, cohort, split, deliver) for split in SPLIT_ORDER if split in measured]


def _split_part(run: RunRecord, cohort: Cohort, split: str, deliver: str) -> SplitPart:
    here = where(run.volumes, split=split)
    volumes = tuple(distinct(here, "volume"))
    gaps = [gap for volume in volumes if (gap := methods_text.gap_of(run.provenance, volume)) is not None]
    pictures = not methods_text.stacks_of(run.provenance).isdisjoint(volumes)
    self_supervised = methods_text.learnt_from_self_supervised(run.provenance)
    table = split_table(run.summary, split, deliver)
    return SplitPart(
        name=split,
        title=title_of_split(run, split),
        claim=split_claim(split, min(gaps, default=None), pictures=pictures, self_supervised=self_supervised),
        heads=heads_words(len(distinct(here, "subject")), pictures=pictures),
        covered=covered_words(len(distinct(here, "subject")), pictures=pictures),
        volumes=volumes,
        winners=split_winners(run, split),
        table=table,
        verdict=verdict(table, deliver),
        setbacks=[one for one in split_setbacks(cohort, split, deliver) if one.in_total],
    )


def split_winners(run: RunRecord, split: str) -> list[tuple[str, list[str]]]:
    """Return the methods with the best means on a split, by title, each with the measures that it leads in."""
    means = {
        column: {
            row["method"]: row["mean"]
            for row in records(where(run.summary, split=split, region=column.region, metric=column.metric))
        }
        for column in first_region(columns_of(run.summary))
    }
    return [(method_title(method), measures) for method, measures in winners(means)]


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
    """Return the volumes in the order of the configuration, with titles and, where they were measured, their page."""
    measured = distinct(run.volumes, "volume")
    return [
        {
            **volume,
            "spacing_words": " \N{MULTIPLICATION SIGN} ".join(f"{length:.4g}" for length in volume["spacing"]),
            "split_title": split_title(
                volume["split"],
                pictures=volume["id"] in methods_text.stacks_of(run.provenance),
                self_supervised=methods_text.learnt_from_self_supervised(run.provenance),
            ),
            "source_title": methods_text.source_of(run.provenance, volume["source"]).get("title") or volume["source"],
            "page": f"{volume['id']}.html" if volume["id"] in measured else "",
        }
        for volume in run.provenance["volumes"]
    ]
