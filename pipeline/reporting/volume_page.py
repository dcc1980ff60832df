"""The page of one volume."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.stages import Evaluate, Report
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.predictions import read_prediction
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
)
from pipeline.reporting.inputs import RunRecord
from pipeline.reporting.methods import SPLIT_TITLES, in_order, method_title, split_claim
from pipeline.reporting.references import Bibliography
from pipeline.reporting.tables import Column, volume_table
from pipeline.reporting.templates import render
from pipeline.reporting.verdict import verdict
from pipeline.statistics.summary import estimate

SAME_AS_LOW = "nearest"
"""Looks like the measurement itself, and is left out of the pictures."""


def volume_page(
    truth: Image,
    low: Image,
    drawn: Drawn,
    run: RunRecord,
    tuning: Mapping[str, Any],
    deliver: str,
    settings: Report,
) -> str:
    """Writes the page of a volume as HTML.

    Args:
        truth: extracted volume.
        low: its low-resolution volume.
        drawn: what `draw_all` gave.
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
    return render(
        "volume.html.j2",
        site_title=settings.title,
        volume=facts,
        split_title=SPLIT_TITLES[facts["split"]],
        claim=split_claim(facts["split"], words.gap_of(record, facts["id"])),
        verdict=verdict(table, deliver),
        table=table,
        confidence=record["config"]["evaluate"]["confidence"],
        slice_count=run.slices[run.slices["volume"] == facts["id"]]["slice"].nunique(),
        gallery=gallery_of(truth, drawn, primary),
        main_methods=main_methods(drawn, primary, deliver),
        primary=primary,
        deliver=deliver,
        curves=slice_curves(run, truth, table.columns, deliver),
        **prose(truth, low, record, tuning, deliver),
        record=record,
        models=run.models,
    )


def prose(
    truth: Image, low: Image, record: words.Record, tuning: Mapping[str, Any], deliver: str
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
        words.network_words(record, deliver, books),
        words.baseline_words(tuning),
        words.measure_words(record, books),
        words.workflow_words(record, books),
    ]
    return {"paragraphs": paragraphs, "references": books.texts}


def volume_numbers(run: RunRecord, volume: str) -> pd.DataFrame:
    """Returns value, difference to the baseline and its interval for every method, region and metric of a volume.

    The interval is of this volume alone; where it is the only one of its split, it equals the summary's.

    Raises:
        UserError: the tables hold nothing about this volume.
    """
    settings = Evaluate.model_validate_json(json.dumps(run.provenance["config"]["evaluate"]))
    baselines = run.summary.drop_duplicates(["region", "metric"]).set_index(["region", "metric"])["baseline"].to_dict()
    part = run.slices[run.slices["volume"] == volume]
    if part.empty:
        raise UserError(f"volume {volume!r} is not in the table of slices; evaluate it and summarise again.")
    rows: list[dict[str, Any]] = []
    for (region, metric), group in part.groupby(["region", "metric"], sort=True):
        values = group.pivot_table(index="slice", columns="method", values="value", sort=True)
        baseline = values[baselines[region, metric]].to_numpy()
        for method in values.columns:
            with np.errstate(invalid="ignore"):
                differences = values[method].to_numpy() - baseline
            subject = {volume: str(group["subject"].iloc[0])}
            diff, low, high = estimate({volume: differences}, subject, settings, int(run.provenance["seed"]))
            found = {"value": float(values[method].mean()), "diff": diff, "diff_ci_low": low, "diff_ci_high": high}
            rows.append({"method": method, "region": region, "metric": metric, **found})
    return pd.DataFrame(rows)


def draw_all(truth: Image, low: Image, predictions: Mapping[str, Path], deliver: str, count: int) -> Drawn:
    """Draws the chosen slices of every method; one volume at a time is in memory.

    Args:
        truth: extracted volume.
        low: its low-resolution volume.
        predictions: files by method.
        deliver: method of the deliverable, which comes last before the truth.
        count: slices to draw.
    """
    indices = choose_slices(truth, count)
    drawn = {LOW: draw_slices(enlarge_pixels(low, truth), truth, indices)}
    for method in in_order(predictions, deliver):
        if method != SAME_AS_LOW:
            drawn[method] = draw_slices(read_prediction(predictions[method], truth), truth, indices)
    return {**drawn, TRUTH: draw_slices(truth.data, truth, indices)}


def gallery_of(truth: Image, drawn: Drawn, primary: str) -> Gallery:
    """Builds the pictures of all drawn methods; errors are scaled by those of the best classical method."""
    titles = {**{method: method_title(method) for method in drawn if method not in TITLES}, **TITLES}
    scale = primary if primary in drawn else next(method for method in drawn if method not in TITLES)
    indices = choose_slices(truth, len(drawn[TRUTH]))
    return build_gallery(truth, indices, drawn, titles, scale)


def main_methods(drawn: Drawn, primary: str, deliver: str) -> list[str]:
    """Returns what stands side by side: the measurement, best classical, pretrained, deliverable, truth."""
    wanted = dict.fromkeys([LOW, primary, "pretrained", deliver, TRUTH])
    return [method for method in wanted if method in drawn]


def slice_curves(run: RunRecord, truth: Image, columns: Sequence[Column], deliver: str) -> list[dict[str, str]]:
    """Draws, for every metric over the foreground, its course over the slices for the main methods."""
    part = run.slices[run.slices["volume"] == truth.facts["id"]]
    found = []
    for column in columns:
        if column.region != columns[0].region:
            continue
        here = part[(part["region"] == column.region) & (part["metric"] == column.metric)]
        lines = [
            Line(method_title(method), one["slice"].to_numpy(), one["value"].to_numpy(), style)
            for method, style in curve_methods(column.baseline, deliver).items()
            if not (one := here[here["method"] == method].sort_values("slice")).empty
        ]
        title = f"{column.title}, {column.region_title.lower()}"
        image = draw_lines(title, f"{truth.facts['plane']} slice of the block", column.heading, lines)
        shown = ", ".join(line.label for line in lines)
        found.append({"image": image, "text": f"{title}, slice by slice, for {shown}"})
    return found


def curve_methods(baseline: str, deliver: str) -> dict[str, str]:
    """Returns the methods that are drawn as lines, and their styles; the deliverable first."""
    return {baseline: "baseline", "pretrained": "network", deliver: "delivered"}
