"""The page of one volume."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config.sections import Evaluate, Report
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting import methods_text
from pipeline.reporting.against import against_every
from pipeline.reporting.cautions import Case, cautions
from pipeline.reporting.durations import Duration
from pipeline.reporting.extras import Extra
from pipeline.reporting.figures.gallery import (
    LOW,
    REFERENCE,
    TITLES,
    Drawn,
    Gallery,
    build_gallery,
    choose_slices,
    is_stack,
    picture_label,
    slice_label,
)
from pipeline.reporting.figures.lines import Line, draw_lines
from pipeline.reporting.figures.similarity import correlation_drawing, distribution_drawing, profile_drawing
from pipeline.reporting.figures.viewer import pack, viewer_data
from pipeline.reporting.gates import Gates
from pipeline.reporting.literature import Bibliography, bibtex
from pipeline.reporting.looks import Looks, uncertainty_layer
from pipeline.reporting.metric_table import Column, first_region, metric_table
from pipeline.reporting.run_record import RunRecord, gap_of, is_self_supervised
from pipeline.reporting.sections.metrics import table_note
from pipeline.reporting.setbacks import Setback
from pipeline.reporting.tables import distinct, records, where
from pipeline.reporting.templates import render
from pipeline.reporting.titles import method_title, split_claim, split_title
from pipeline.reporting.verdict import verdict, verdict_box
from pipeline.statistics.summary import estimate
from pipeline.tables.slices import WHOLE_VOLUME

WORST_BY = (("foreground", "ssim"), ("foreground", "psnr"))
"""What decides which pictures are the worst, by preference; else the first measure that was taken."""


@dataclass(frozen=True)
class Examined:
    """What was found out about a volume beside the tables of all runs; empty where a run has it not.

    Attributes:
        gates: limits that the results must keep.
        extras: further tables.
        durations: of the jobs.
        uncertainty: file of the deliverable's uncertainty, see `uncertainty_layer`.
        setbacks: where the deliverable falls behind the best baseline beside measures of likeness.
    """

    gates: Gates | None = None
    extras: Sequence[Extra] = ()
    durations: Sequence[Duration] = ()
    uncertainty: Path | None = None
    setbacks: Sequence[Setback] = ()


LEDGER_BASE = "bspline3"
"""Plain interpolation of the measurement: what a method adds to it is the detail that the ledger accounts for."""


def volume_page(
    reference: Image,
    low: LowResolutionImage,
    looks: Looks,
    run: RunRecord,
    *,
    indices: Sequence[int],
    tuning: Mapping[str, Any],
    deliver: str,
    settings: Report,
    examined: Examined,
) -> str:
    """Write the page of a volume as HTML.

    Args:
        reference: extracted volume.
        low: its low-resolution volume.
        looks: what `look` gave.
        run: tables and records of the run.
        indices: the slices that are drawn as static pictures.
        tuning: what the stage `tune` wrote.
        deliver: method of the deliverable.
        settings: the section `report`.
        examined: what else is known of the volume.

    Raises:
        UserError: the tables hold nothing about this volume.
    """
    volume, split_name = reference.id, reference.identity.split
    record = run.provenance
    numbers = volume_numbers(run, volume)
    table = metric_table(run.columns, numbers, deliver)
    primary = primary_baseline(run)
    self_supervised = is_self_supervised(record)
    gallery = gallery_of(reference, looks.drawn, indices, primary)
    split = where(run.volumes, split=split_name)
    slice_count = len(distinct(where(run.slices, volume=volume), "slice"))
    subjects, setbacks = distinct(split, "subject"), examined.setbacks
    covered = f"over the {'pictures of this stack' if is_stack(reference) else 'slices of this volume'}"
    caption = table_caption(table.columns, slice_count, volume, stack=is_stack(reference))
    case = Case(reference, low, record, deliver, subjects, examined.gates, looks.at_limit, setbacks, looks.beyond_noise)
    return render(
        "volume.html.j2",
        scripts=("script.js", "viewer.js"),
        site_title=settings.title,
        volume=reference.identity,
        plane=reference.plane,
        stack=is_stack(reference),
        split_title=split_title(split_name, pictures=is_stack(reference), self_supervised=self_supervised),
        claim=split_claim(
            split_name,
            gap_of(record, volume),
            pictures=is_stack(reference),
            self_supervised=self_supervised,
        ),
        gates=examined.gates,
        cautions=cautions(case),
        verdict=verdict_box(verdict(table), split_name, run.confidence, covered, setbacks),
        table=table.table("metrics-table", caption),
        table_note=table_note(table.baselines(), run.confidence),
        against=against_every(run, volume, first_region(table.columns), deliver),
        against_columns=first_region(table.columns),
        confidence=record["config"]["evaluate"]["confidence"],
        slice_count=slice_count,
        gallery=gallery,
        **viewer_of(reference, looks, gallery, primary, deliver, examined.uncertainty),
        main_methods=main_methods(looks.drawn, primary, deliver),
        deliver=deliver,
        curves=slice_curves(run, reference, table.columns, deliver),
        closeness=closeness_drawings(reference, low, looks, primary, deliver),
        extras=examined.extras,
        durations=examined.durations,
        **prose(reference, low, record, [model.method for model in run.models], tuning, deliver),
        record=record,
        models=run.models,
    )


def table_caption(columns: Sequence[Column], slice_count: int, volume: str, *, stack: bool) -> str:
    """Says what the numbers of a volume are: means over its slices, or values of the volume as a whole."""
    unit = "picture" if stack else "slice"
    caption = f"Of one {unit} of {volume}" if slice_count == 1 else f"Means over {slice_count} {unit}s of {volume}"
    wholes = [] if stack else list(dict.fromkeys(column.title for column in columns if column.of_volumes))
    return f"{caption}; of the volume as a whole: {'; '.join(wholes)}" if wholes else caption


def viewer_of(
    reference: Image, looks: Looks, gallery: Gallery, primary: str, deliver: str, uncertainty: Path | None
) -> dict[str, Any]:
    """Return what the viewer reads as `viewer`, and the sheets behind it as `packed`."""
    main = main_methods(looks.titles, primary, deliver)
    part, top = looks.part, gallery.error_top
    maps = [] if uncertainty is None else [uncertainty_layer(uncertainty, reference, part, top)]
    packed = pack([*looks.layers, *maps], part, [*main, LEDGER_BASE])
    shown = [layer["name"] for layer in packed.layers if layer["role"] != "map"]
    estimates = [name for name in shown if name not in TITLES] or [LOW]
    first = deliver if deliver in shown else estimates[-1]
    second = primary if primary in shown and primary != first else LOW
    viewer = viewer_data(
        packed,
        reference,
        white=gallery.window,
        error_top=top,
        base=LEDGER_BASE,
        first=first,
        second=second,
        keys=list(dict.fromkeys([*main, *shown])),
        labels=[picture_label(index, reference) for index in packed.part.pictures],
    )
    return {"viewer": viewer, "packed": packed, "whole_slices": len(part.pictures)}


def closeness_drawings(
    reference: Image, low: LowResolutionImage, looks: Looks, primary: str, deliver: str
) -> list[dict[str, str]]:
    """Draw correlation by frequency, intensities along a line, and their distribution, for the main methods."""
    titles, found, yardstick = looks.titles, looks.closeness, looks.yardstick
    lines = {name: style for name, style in curve_methods(primary, deliver).items() if name in found}
    whole = {REFERENCE: "reference", **lines}
    profiled = {LOW: "measured", **{name: style for name, style in whole.items() if name != "pretrained"}}
    factors = np.delete(low.forward_model.factors, reference.slice_axis).tolist()
    drawings = [
        correlation_drawing(found, titles, lines, factors),
        profile_drawing(found, titles, profiled, yardstick, slice_label(yardstick.profile.index, reference)),
        distribution_drawing(found, titles, whole, yardstick),
    ]
    return [drawing for drawing in drawings if drawing is not None]


def prose(
    reference: Image,
    low: LowResolutionImage,
    record: methods_text.Record,
    networks: Sequence[str],
    tuning: Mapping[str, Any],
    deliver: str,
) -> dict[str, Sequence[Any]]:
    """Return the methods as `paragraphs`, and the `references` they cite."""
    books = Bibliography()
    model = low.forward_model
    volume = [one for one in record["volumes"] if one["id"] == reference.id]
    learnt = [one for one in record["volumes"] if one["split"] in ("train", "val")]
    paragraphs = [
        methods_text.data_words([*volume, *(one for one in learnt if one not in volume)], record, books),
        methods_text.extraction_words(record, books),
        methods_text.forward_words(model, reference.spacing, reference.unit, books),
        methods_text.network_words(record, networks, deliver, books),
        methods_text.baseline_words(tuning),
        methods_text.measure_words(record, books),
        methods_text.workflow_words(record, books),
    ]
    return {"paragraphs": paragraphs, "references": books.references, "bibtex": bibtex(books.references)}


def volume_numbers(run: RunRecord, volume: str) -> list[dict[str, Any]]:
    """Return the rows of a volume: value, difference to the baseline and its interval, by method, region, metric.

    The interval is of this volume alone; where it is the only one of its split, it equals the summary's.

    Raises:
        UserError: the tables hold nothing about this volume.
    """
    settings = Evaluate.model_validate_json(json.dumps(run.provenance["config"]["evaluate"]))
    seed = int(run.provenance["seed"])
    part, wholes = (where(table, volume=volume) for table in (run.slices, run.volumes))
    stacks = run.stacks
    if part.empty:
        raise UserError(f"volume {volume!r} is not in the table of slices; evaluate it and summarise again.")
    rows: list[dict[str, Any]] = []
    for column in run.columns:
        here = where(part, region=column.region, metric=column.metric)
        if column.of_volumes and volume not in stacks:
            here = where(wholes, region=column.region, metric=column.metric).assign(slice=WHOLE_VOLUME)
        values = {method: course(here, method)[1] for method in distinct(here, "method")}
        for method, measured in values.items():
            with np.errstate(invalid="ignore"):
                differences = measured - values[column.baseline]
            diff, low, high = estimate({volume: differences}, {volume: volume}, settings, seed, stacks)
            found = {"value": float(measured.mean()), "diff": diff, "diff_ci_low": low, "diff_ci_high": high}
            rows.append({"method": method, "region": column.region, "metric": column.metric, **found})
    return rows


def course(table: pd.DataFrame, method: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the slices of a method's rows and their values, in the order of the slices."""
    found = sorted((row["slice"], row["value"]) for row in records(where(table, method=method)))
    slices, values = zip(*found, strict=True)
    return np.array(slices, dtype=float), np.array(values, dtype=float)


def slices_to_show(reference: Image, run: RunRecord, deliver: str, count: int) -> list[int]:
    """Return the slices to draw: spread evenly over a volume, but the worst pictures of a stack, the worst first.

    Args:
        reference: extracted volume.
        run: its table of slices says how the deliverable fared.
        deliver: method of the deliverable.
        count: slices to draw.
    """
    if not is_stack(reference):
        return choose_slices(reference, count)
    here = where(run.slices, volume=reference.id, method=deliver)
    columns = run.columns
    named = {(column.region, column.metric): column for column in columns}
    column = next((named[key] for key in WORST_BY if key in named), columns[0])
    slices, values = course(where(here, region=column.region, metric=column.metric), deliver)
    order = np.argsort(values if column.higher_is_better else -values, kind="stable")
    return [reference.stack.middle_slice(int(index)) for index in slices[order[:count]]]


def gallery_of(reference: Image, drawn: Drawn, indices: Sequence[int], primary: str) -> Gallery:
    """Build the pictures of all drawn methods; errors are scaled by those of the best baseline."""
    titles = {**{method: method_title(method) for method in drawn if method not in TITLES}, **TITLES}
    scale = primary if primary in drawn else next(method for method in drawn if method not in TITLES)
    return build_gallery(reference, indices, drawn, titles, scale)


def main_methods(methods: Collection[str], primary: str, deliver: str) -> list[str]:
    """Return what stands side by side: the measurement, best baseline, pretrained, deliverable, reference."""
    wanted = dict.fromkeys([LOW, primary, "pretrained", deliver, REFERENCE])
    return [method for method in wanted if method in (LOW, REFERENCE) or method in methods]


def primary_baseline(run: RunRecord) -> str:
    """Return the best baseline by the first measure of the configuration."""
    return run.baseline


def slice_curves(run: RunRecord, reference: Image, columns: Sequence[Column], deliver: str) -> list[dict[str, str]]:
    """Draws, for every metric over the foreground, its course over the slices for the main methods."""
    part = where(run.slices, volume=reference.id)
    found = []
    for column in columns:
        if column.region != columns[0].region:
            continue
        here = where(part, region=column.region, metric=column.metric)
        if here.empty:  # measured on the volume as a whole
            continue
        lines = [
            Line(method_title(method), *course(here, method), style)
            for method, style in curve_methods(column.baseline, deliver).items()
            if method in distinct(here, "method")
        ]
        title = f"{column.title}, {column.region_title.lower()}"
        image = draw_lines(title, place_words(reference), column.heading, lines)
        shown = ", ".join(line.label for line in lines)
        found.append({"image": image, "text": f"{title}, slice by slice, for {shown}"})
    return found


def place_words(reference: Image) -> str:
    """Return what the places along a curve are."""
    if is_stack(reference):
        return "picture of the stack"
    return f"{reference.plane} slice of the block" if reference.is_anatomical else "slice of the block"


def curve_methods(baseline: str, deliver: str) -> dict[str, str]:
    """Return the methods that are drawn as lines, and their styles; the deliverable last, on top."""
    return {baseline: "baseline", "pretrained": "network", deliver: "delivered"}
