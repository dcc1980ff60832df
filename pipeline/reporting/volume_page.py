"""The page of one volume."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config.stages import Evaluate, Report
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.predictions import read_prediction
from pipeline.metrics import WHOLE_VOLUME
from pipeline.physics.forward import ForwardModel
from pipeline.reporting import words
from pipeline.reporting.curves import Line, draw_lines
from pipeline.reporting.gallery import (
    LOW,
    TITLES,
    TRUTH,
    Drawn,
    Gallery,
    build_gallery,
    choose_slices,
    draw_slices,
    enlarge_pixels,
    is_stack,
)
from pipeline.reporting.inputs import RunRecord
from pipeline.reporting.methods import in_order, method_title, split_claim, split_title
from pipeline.reporting.references import Bibliography
from pipeline.reporting.tables import Column, columns_of, distinct, records, volume_table, where
from pipeline.reporting.templates import render
from pipeline.reporting.verdict import verdict
from pipeline.statistics.summary import estimate

WORST_BY = (("foreground", "ssim"), ("foreground", "psnr"))
"""What decides which pictures are the worst, by preference; else the first measure that was taken."""
SAME_AS_LOW = "nearest"
"""Looks like the measurement itself, and is left out of the pictures."""


def volume_page(
    truth: Image,
    low: Image,
    drawn: Drawn,
    run: RunRecord,
    *,
    indices: Sequence[int],
    tuning: Mapping[str, Any],
    deliver: str,
    settings: Report,
) -> str:
    """Writes the page of a volume as HTML.

    Args:
        truth: extracted volume.
        low: its low-resolution volume.
        drawn: what `draw_all` gave.
        indices: the slices that it drew.
        run: tables and records of the run.
        tuning: what the stage `tune` wrote.
        deliver: method of the deliverable.
        settings: the section `report`.

    Raises:
        UserError: the tables hold nothing about this volume.
    """
    facts = truth.facts
    record = run.provenance
    numbers = volume_numbers(run, facts["id"])
    table = volume_table(numbers, run.summary, deliver)
    primary = table.columns[0].baseline
    own_slices = words.learnt_from_own_slices(record)
    return render(
        "volume.html.j2",
        site_title=settings.title,
        volume=facts,
        stack=is_stack(truth),
        split_title=split_title(facts["split"], pictures=is_stack(truth), own_slices=own_slices),
        claim=split_claim(
            facts["split"], words.gap_of(record, facts["id"]), pictures=is_stack(truth), own_slices=own_slices
        ),
        verdict=verdict(table, deliver),
        table=table,
        confidence=record["config"]["evaluate"]["confidence"],
        slice_count=len(distinct(where(run.slices, volume=facts["id"]), "slice")),
        gallery=gallery_of(truth, drawn, indices, primary),
        main_methods=main_methods(drawn, primary, deliver),
        primary=primary,
        deliver=deliver,
        curves=slice_curves(run, truth, table.columns, deliver),
        **prose(truth, low, record, [model.method for model in run.models], tuning, deliver),
        record=record,
        models=run.models,
    )


def prose(
    truth: Image,
    low: Image,
    record: words.Record,
    networks: Sequence[str],
    tuning: Mapping[str, Any],
    deliver: str,
) -> dict[str, Sequence[Any]]:
    """Returns the methods as `paragraphs`, and the `references` they cite."""
    books = Bibliography()
    model = ForwardModel.from_json(low.facts["forward_model"])
    volume = [one for one in record["volumes"] if one["id"] == truth.facts["id"]]
    learnt = [one for one in record["volumes"] if one["split"] in ("train", "val")]
    paragraphs = [
        words.data_words([*volume, *(one for one in learnt if one not in volume)], record, books),
        words.extraction_words(record, books),
        words.forward_words(model, truth.spacing, truth.unit, books),
        words.network_words(record, networks, deliver, books),
        words.baseline_words(tuning),
        words.measure_words(record, books),
        words.workflow_words(record, books),
    ]
    return {"paragraphs": paragraphs, "references": books.texts}


def volume_numbers(run: RunRecord, volume: str) -> list[dict[str, Any]]:
    """Returns the rows of a volume: value, difference to the baseline and its interval, by method, region, metric.

    The interval is of this volume alone; where it is the only one of its split, it equals the summary's.

    Raises:
        UserError: the tables hold nothing about this volume.
    """
    settings = Evaluate.model_validate_json(json.dumps(run.provenance["config"]["evaluate"]))
    seed = int(run.provenance["seed"])
    part, wholes = (where(table, volume=volume) for table in (run.slices, run.volumes))
    stacks = words.stacks_of(run.provenance)
    if part.empty:
        raise UserError(f"volume {volume!r} is not in the table of slices; evaluate it and summarise again.")
    rows: list[dict[str, Any]] = []
    for column in columns_of(run.summary):
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
    """Returns the slices of a method's rows and their values, in the order of the slices."""
    found = sorted((row["slice"], row["value"]) for row in records(where(table, method=method)))
    slices, values = zip(*found, strict=True)
    return np.array(slices, dtype=float), np.array(values, dtype=float)


def shown_slices(truth: Image, run: RunRecord, deliver: str, count: int) -> list[int]:
    """Returns the slices to draw: spread evenly over a volume, but the worst pictures of a stack, the worst first.

    Args:
        truth: extracted volume.
        run: its table of slices says how the deliverable fared.
        deliver: method of the deliverable.
        count: slices to draw.
    """
    if not is_stack(truth):
        return choose_slices(truth, count)
    here = where(run.slices, volume=truth.facts["id"], method=deliver)
    columns = columns_of(run.summary)
    named = {(column.region, column.metric): column for column in columns}
    column = next((named[key] for key in WORST_BY if key in named), columns[0])
    slices, values = course(where(here, region=column.region, metric=column.metric), deliver)
    order = np.argsort(values if column.higher_is_better else -values, kind="stable")
    return [int(index) for index in slices[order[:count]]]


def draw_all(truth: Image, low: Image, predictions: Mapping[str, Path], deliver: str, indices: Sequence[int]) -> Drawn:
    """Draws the chosen slices of every method; one volume at a time is in memory.

    Args:
        truth: extracted volume.
        low: its low-resolution volume.
        predictions: files by method.
        deliver: method of the deliverable, which comes last before the truth.
        indices: slices to draw.
    """
    drawn = {LOW: draw_slices(enlarge_pixels(low, truth), truth, indices)}
    for method in in_order(predictions, deliver):
        if method != SAME_AS_LOW:
            drawn[method] = draw_slices(read_prediction(predictions[method], truth), truth, indices)
    return {**drawn, TRUTH: draw_slices(truth.data, truth, indices)}


def gallery_of(truth: Image, drawn: Drawn, indices: Sequence[int], primary: str) -> Gallery:
    """Builds the pictures of all drawn methods; errors are scaled by those of the best classical method."""
    titles = {**{method: method_title(method) for method in drawn if method not in TITLES}, **TITLES}
    scale = primary if primary in drawn else next(method for method in drawn if method not in TITLES)
    return build_gallery(truth, indices, drawn, titles, scale)


def main_methods(drawn: Drawn, primary: str, deliver: str) -> list[str]:
    """Returns what stands side by side: the measurement, best classical, pretrained, deliverable, truth."""
    wanted = dict.fromkeys([LOW, primary, "pretrained", deliver, TRUTH])
    return [method for method in wanted if method in drawn]


def slice_curves(run: RunRecord, truth: Image, columns: Sequence[Column], deliver: str) -> list[dict[str, str]]:
    """Draws, for every metric over the foreground, its course over the slices for the main methods."""
    part = where(run.slices, volume=truth.facts["id"])
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
        image = draw_lines(title, place_words(truth), column.heading, lines)
        shown = ", ".join(line.label for line in lines)
        found.append({"image": image, "text": f"{title}, slice by slice, for {shown}"})
    return found


def place_words(truth: Image) -> str:
    """Returns what the places along a curve are."""
    if is_stack(truth):
        return "picture of the stack"
    return f"{truth.facts['plane']} slice of the block" if truth.is_anatomical else "slice of the block"


def curve_methods(baseline: str, deliver: str) -> dict[str, str]:
    """Returns the methods that are drawn as lines, and their styles; the deliverable last, on top."""
    return {baseline: "baseline", "pretrained": "network", deliver: "delivered"}
