"""The parts of the page over all volumes that a run may have or not: a table, and often a drawing of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.reporting.cohort_inputs import Cohort
from pipeline.reporting.cohort_volumes import gate_title, has_passed
from pipeline.reporting.figures.distributions import Bar, Course, Spread, draw_bars, draw_courses, draw_spreads
from pipeline.reporting.figures.lines import INK
from pipeline.reporting.listing import Entry, Listing, interval, number, words
from pipeline.reporting.methods_text import learnt_from_self_supervised, stacks_of
from pipeline.reporting.run_record import RunRecord, by_metric
from pipeline.reporting.tables import Column, columns_of, distinct, first_region, records, where
from pipeline.reporting.titles import (
    TESTED,
    classical_methods,
    in_order,
    method_title,
    network_colours,
    split_title,
)
from pipeline.statistics.conclusion import against_all

UNREADABLE = ("nearest",)
"""Methods so far off that drawing them would squeeze the others together."""
REFERENCE = "reference"
"""What stands in place of a method where the reference itself was looked at."""
LEDGER: Mapping[str, str] = {
    "detail_right": "right",
    "detail_missing": "missing",
    "detail_invented": "invented",
}
PERCENT = 100
MAX_LISTED = 2000
"""Rows of one table on the page; what is beyond is counted, and stands in the file."""


@dataclass(frozen=True)
class Picture:
    """A drawing as data URI, what it shows in words, and how to read it."""

    image: str
    text: str
    caption: str


@dataclass(frozen=True)
class Part:
    """A part of the page.

    Attributes:
        name: of its section, unlike those of all others.
        title: its heading.
        notes: what it is, and how to read it, a paragraph each.
        sentences: what it shows, in words.
        pictures: drawings.
        listings: tables that are shown.
        folded: tables that are folded away, each under its caption.
    """

    name: str
    title: str
    notes: tuple[str, ...]
    sentences: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    listings: tuple[Listing, ...] = ()
    folded: tuple[Listing, ...] = ()


def tested(table: pd.DataFrame) -> Any:
    """Return the rows of the test splits."""
    return table[table["split"].isin(TESTED)]


def listed_order(table: pd.DataFrame, deliver: str) -> list[str]:
    """Return the methods of a table as listings have them: what is delivered first."""
    return in_order(distinct(table, "method"), deliver)[::-1]


def by_split_and_method(table: pd.DataFrame, deliver: str) -> list[dict[str, Any]]:
    """Return the rows of a table of test splits, in the order of the splits and of `listed_order`."""
    order = listed_order(table, deliver)
    return sorted(records(table), key=lambda row: (TESTED.index(row["split"]), order.index(row["method"])))


def method_entry(method: str, deliver: str) -> Entry:
    """Return a cell that names a method."""
    return Entry(title_of(method), kind="delivered" if method == deliver else "")


def title_of(method: str) -> str:
    """Return the name of a method; that of the reference says that no method can show more."""
    return "Reference itself" if method == REFERENCE else method_title(method)


def title_of_split(run: RunRecord, split: str) -> str:
    """Name what a split of a run holds; nobody knows whose heads pictures show."""
    pictures = not stacks_of(run.provenance).isdisjoint(distinct(where(run.volumes, split=split), "volume"))
    return split_title(split, pictures=pictures, self_supervised=learnt_from_self_supervised(run.provenance))


def split_entry(split: str) -> Entry:
    """Return a cell that names a split."""
    return Entry(str(split).replace("_", " "), chip=str(split))


def style_of(method: str, deliver: str) -> str:
    """Return the style in which a method is drawn."""
    return "delivered" if method == deliver else "baseline" if method in classical_methods() else "network"


def colours_of(methods: Sequence[str], deliver: str) -> dict[str, str]:
    """Return a colour for every network but the deliverable, which has its style's."""
    networks = [name for name in methods if name not in (*classical_methods(), deliver, REFERENCE)]
    return {**network_colours(networks), REFERENCE: INK}


# Distributions


def spread_pictures(run: RunRecord, deliver: str) -> list[Picture]:
    """Draw how every measure over the first region is spread over the volumes of each test split.

    A split of one volume shows its slices instead, where the measure was taken on slices.
    """
    found = []
    for split in TESTED:
        if split in distinct(run.summary, "split"):
            for column in first_region(columns_of(run.summary)):
                found.append(_spread_picture(run, split, column, deliver))
    return [picture for picture in found if picture is not None]


def _spread_picture(run: RunRecord, split: str, column: Column, deliver: str) -> Picture | None:
    here = where(run.volumes, split=split, region=column.region, metric=column.metric)
    count, unit, by_method = len(distinct(here, "volume")), "volume", _by_method(here, "volume")
    slices = where(run.slices, split=split, region=column.region, metric=column.metric)
    if count == 1 and not slices.empty:
        unit, by_method = "slice", _by_method(slices, "slice")
        count = len(by_method)
    summary = where(run.summary, split=split, region=column.region, metric=column.metric)
    numbers = {row["method"]: row for row in records(summary)}
    methods = [name for name in in_order(numbers, deliver) if name in by_method and name not in UNREADABLE]
    if not methods or column.baseline not in by_method:
        return None
    rows = [
        Spread(
            label=method_title(name),
            values=by_method[name].to_numpy(float),
            differences=(by_method[name] - by_method[column.baseline]).to_numpy(float),
            mean=float(numbers[name]["diff"]),
            low=float(numbers[name]["diff_ci_low"]),
            high=float(numbers[name]["diff_ci_high"]),
            style=style_of(name, deliver),
        )
        for name in methods
    ]
    arrow = "higher is better" if column.higher_is_better else "lower is better"
    title = f"{title_of_split(run, split)}: {column.title}, {arrow}"
    units = f"{count} {unit}{'s' if count > 1 else ''}"
    difference = f"difference to {method_title(column.baseline)}"
    text = "; ".join(f"{row.label} {column.format(row.mean, sign=True)}" for row in rows)
    return Picture(
        image=draw_spreads(title, column.heading, difference, rows),
        text=f"{title}, over {units}. Mean {difference}: {text}",
        caption=f"Strokes are {units}.",
    )


def _by_method(table: pd.DataFrame, unit: str) -> Any:
    return table.pivot_table(index=unit, columns="method", values="value", aggfunc="first", sort=True)


# Comparisons


def comparisons_part(run: RunRecord, cohort: Cohort, deliver: str) -> Part | None:
    """Return the comparisons of every network with every other method, over the first region of the test splits."""
    columns = first_region(columns_of(run.summary))
    found = {column.metric: column for column in columns}
    table = tested(where(cohort.comparisons, region=columns[0].region))
    table = table[table["metric"].isin(found)]
    if table.empty:
        return None
    methods = in_order(distinct(table, "method"), deliver)[::-1]
    listings = [
        _comparisons(method, where(table, method=method), found, deliver) for method in methods if method in methods
    ]
    delivered = tuple(one for one in listings if one.name == f"comparisons-{deliver}")
    others = tuple(one for one in listings if one not in delivered)
    return Part(
        name="comparisons",
        title="Against every other method",
        notes=(
            "Paired differences, network minus baseline, with their intervals. The effect size is the matched-pairs "
            "rank-biserial correlation over subjects: +1 where all differ upwards, -1 where all differ downwards. p is "
            "of a signed-rank test over subjects and is only known where there are enough of them; beside it stands p "
            "corrected for the number of baselines (Holm).",
        ),
        sentences=standings(table, [one for one in columns if not one.of_one_property], run, deliver),
        listings=delivered,
        folded=others,
    )


def standings(table: pd.DataFrame, columns: Sequence[Column], run: RunRecord, deliver: str) -> tuple[str, ...]:
    """Says against which of all other methods the deliverable holds, split by split.

    Args:
        table: comparisons over one region, of test splits.
        columns: measures of which it is said.
        run: titles of its splits, and the coverage of its intervals.
        deliver: method of the deliverable.
    """
    own: Any = where(table, method=deliver)
    own = own[own["metric"].isin([column.metric for column in columns])]
    own = by_metric(own, [column.metric for column in columns])
    confidence, title = run.provenance["config"]["evaluate"]["confidence"], method_title
    return tuple(
        f"{title_of_split(run, split)}: {sentence}"
        for split in distinct(own, "split")
        for sentence in against_all(own, split=split, region=columns[0].region, confidence=confidence, title=title)
    )


def _comparisons(method: str, table: pd.DataFrame, columns: Mapping[str, Column], deliver: str) -> Listing:
    rows = []
    order = list(columns)
    for row in sorted(records(table), key=lambda row: (TESTED.index(row["split"]), order.index(row["metric"]))):
        column = columns[row["metric"]]
        ends = [column.better(row[name]) for name in ("diff_ci_low", "diff_ci_high")]
        kind = "better" if min(ends) > 0 else "worse" if max(ends) < 0 else ""
        between = interval(row["diff_ci_low"], row["diff_ci_high"], column.decimals)
        rows.append(
            (
                method_entry(row["baseline"], deliver),
                split_entry(row["split"]),
                Entry(column.heading),
                Entry(column.format(row["diff"], sign=True), float(row["diff"]), kind=kind, aside=between),
                number(row["effect"], 2, sign=True),
                number(row["p"]),
                number(row["p_holm"]),
                number(row["subjects"], 0),
            )
        )
    headings = ("Baseline", "Split", "Measure", "Difference", "Effect size", "p", "p (Holm)", "Subjects")
    return Listing(f"comparisons-{method}", f"{method_title(method)} minus each other method", headings, tuple(rows))


# Gates


def gates_part(cohort: Cohort, deliver: str) -> Part | None:
    """Return how many volumes pass which gate by each method, and every gate that the deliverable failed."""
    table: Any = cohort.gates
    if table.empty:
        return None
    table = table.assign(kept=[has_passed(text) for text in table["passed"].tolist()])
    order = listed_order(table, deliver)
    rows = []
    groups: Any = table.groupby(["method", "gate"], sort=True)
    for (method, gate), part in sorted(groups, key=lambda group: (order.index(group[0][0]), group[0][1])):
        failed = int((~part["kept"]).sum())
        worst = part.iloc[nearest_to_limit(part)]
        rows.append(
            (
                method_entry(method, deliver),
                Entry(gate_title(gate)),
                number(len(part), 0),
                Entry(str(failed), float(failed), kind="failed" if failed else ""),
                number(worst["value"]),
                number(worst["limit"]),
            )
        )
    headings = ("Method", "Gate", "Tested", "Failed", "Value nearest to its limit", "This limit")
    failures = _failed_gates(where(table, method=deliver), deliver)
    return Part(
        name="gates",
        title="Gates",
        notes=(
            "A gate is a limit that a result must keep, and needs no reference: what fails it contradicts the "
            "measurement. "
            "Every failure of the deliverable is listed.",
        ),
        listings=(*failures, Listing("gates-listing", "Gates of every method", headings, tuple(rows))),
    )


def nearest_to_limit(gates: pd.DataFrame) -> int:
    """Return the row of the volume that is furthest beyond its limit, or nearest to it where all pass.

    A value or limit that is no number is the worst there is: the result holds numbers that are none.
    """
    share = (gates["value"] / gates["limit"]).to_numpy(float)
    return int(np.argmax(np.where(np.isnan(share), np.inf, share)))


def _failed_gates(table: pd.DataFrame, deliver: str) -> Iterator[Listing]:
    failed = [row for row in records(table) if not row["kept"]]
    if not failed:
        return
    rows = [
        (
            Entry(row["volume"], link=f"{row['volume']}.html", kind="failed"),
            split_entry(row["split"]),
            Entry(gate_title(row["gate"])),
            Entry(number(row["value"]).text, float(row["value"]), kind="failed"),
            number(row["limit"]),
        )
        for row in failed
    ]
    caption = f"Gates that {method_title(deliver)} failed"
    yield Listing("gates-failed", caption, ("Volume", "Split", "Gate", "Value", "Limit"), tuple(rows))


# The ledger of detail


def ledger_part(run: RunRecord, deliver: str) -> Part | None:
    """Return what became of the detail by each method: right, missing, invented."""
    table = tested(run.summary)
    table = table[table["metric"].isin(LEDGER)]
    if table.empty:
        return None
    region = "foreground" if "foreground" in distinct(table, "region") else distinct(table, "region")[0]
    table = where(table, region=region)
    kinds = [name for name in LEDGER if name in distinct(table, "metric")]
    columns = {column.metric: column for column in columns_of(run.summary) if column.region == region}
    pictures, rows = [], []
    for split in distinct(table, "split"):
        found: dict[str, dict[str, Any]] = {}
        for row in records(where(table, split=split)):
            found.setdefault(row["method"], {})[row["metric"]] = row
        order = [name for name in in_order(found, deliver) if set(kinds) <= set(found[name])]
        bars = [Bar(method_title(name), tuple(float(found[name][kind]["mean"]) for kind in kinds)) for name in order]
        title = f"{title_of_split(run, split)}: detail"
        text = "; ".join(
            f"{bar.label}: {', '.join(f'{LEDGER[k]} {s:.3g}' for k, s in zip(kinds, bar.shares, strict=True))}"
            for bar in bars
        )
        image = draw_bars(title, columns[kinds[0]].unit or "share of the detail", [LEDGER[k] for k in kinds], bars)
        pictures.append(Picture(image, f"{title}. {text}", ""))
        rows += [
            (method_entry(name, deliver), split_entry(split), *(_mean(found[name][k], columns[k]) for k in kinds))
            for name in order
        ]
    headings = ("Method", "Split", *(f"Detail {LEDGER[kind]}" for kind in kinds))
    listing = Listing("ledger-listing", "Means over volumes with their intervals", headings, tuple(rows))
    return Part(
        "ledger",
        "Ledger of detail",
        (
            "Detail finer than the low-resolution voxels: how much of it is right, how much is missing, and how much "
            "was invented. Right detail is what a method is for. Invented detail is what it must not be trusted for.",
        ),
        pictures=tuple(pictures),
        listings=(listing,),
    )


def _mean(row: Mapping[str, Any], column: Column) -> Entry:
    between = interval(row["ci_low"], row["ci_high"], column.decimals, sign=False)
    return Entry(column.format(row["mean"]), float(row["mean"]), aside=between)


# Inserted structures


def inserted_part(cohort: Cohort, deliver: str, baseline: str) -> Part | None:
    """Return how many inserted structures of every size and contrast can still be found after each method."""
    table = tested(cohort.inserted)
    if table.empty:
        return None
    keys = ["method", "kind", "size_voxels", "contrast"]
    sums: Any = table.groupby(keys, sort=True, as_index=False)[["inserted", "detected", "false_alarms"]].sum()
    sums = sums[sums["inserted"] > 0]
    sums = sums.assign(rate=sums["detected"] / sums["inserted"])
    order = listed_order(sums, deliver)
    chosen = [name for name in order if name in (deliver, baseline, REFERENCE) or name not in classical_methods()]
    groups: Any = sums[sums["method"].isin(chosen)].groupby(["kind", "contrast"], sort=True)
    return Part(
        name="inserted",
        title="Inserted structures",
        notes=(
            "Structures of known place, size and contrast were put into the reference before it was degraded, "
            "and looked "
            "for in every result. Found: share of them that were found. False alarms: share of places where one was "
            "found though none had been put there.",
            "Below stand all structures together, with intervals over slices and places (over subjects too, where "
            "there are several), and the difference of the deliverable to each other method on the same places, also "
            "of shares from which those of false alarms were taken. Of one subject, intervals say nothing of other "
            "heads.",
        ),
        listings=_detection_rates(cohort, deliver),
        pictures=tuple(_inserted_picture(kind, contrast, part, chosen, deliver) for (kind, contrast), part in groups),
        folded=_inserted_conditions(cohort, deliver),
    )


def _detection_rates(cohort: Cohort, deliver: str) -> tuple[Listing, ...]:
    """List what every method shows of all structures together; nothing where no rates are known."""
    table = tested(cohort.detection_rates)
    rows = [
        (
            method_entry(row["method"], deliver),
            split_entry(row["split"]),
            number(row["subjects"], 0),
            number(row["inserted"], 0),
            _share(row["rate"], row["ci_low"], row["ci_high"]),
            _share(row["false_alarm_rate"]),
            _points(row["diff"], row["diff_ci_low"], row["diff_ci_high"]),
            _points(row["net_diff"], row["net_diff_ci_low"], row["net_diff_ci_high"]),
        )
        for row in by_split_and_method(table[table["kind"].isna()], deliver)
    ]
    headings = ("Method", "Split", "Subjects", "Insertion", "Found", "False alarms")
    headings = (*headings, "Deliverable minus this (points)", "The same, less false alarms")
    return (Listing("inserted-rates", "All inserted structures together", headings, tuple(rows)),) if rows else ()


def _inserted_conditions(cohort: Cohort, deliver: str) -> tuple[Listing, ...]:
    """List what every method shows of each kind, size and contrast."""
    table = tested(cohort.detection_rates)
    rows = [
        (
            method_entry(row["method"], deliver),
            Entry(words(row["kind"]).replace("_", " ")),
            number(row["size_voxels"]),
            number(row["contrast"], sign=True),
            split_entry(row["split"]),
            number(row["inserted"], 0),
            _share(row["rate"], row["ci_low"], row["ci_high"]),
            _share(row["false_alarm_rate"]),
        )
        for row in by_split_and_method(table[table["size_voxels"].notna()], deliver)
    ]
    headings = ("Method", "Structure", "Size (voxels)", "Contrast", "Split", "Insertion", "Found", "False alarms")
    return (Listing("inserted-listing", "Inserted structures, every method", headings, tuple(rows)),) if rows else ()


def _share(value: float, low: float = np.nan, high: float = np.nan) -> Entry:
    """Return a cell for a share in percent; its interval stands below."""
    entry = number(PERCENT * value, 0, unit=" %")
    return Entry(entry.text, entry.number, aside=interval(PERCENT * low, PERCENT * high, 0, sign=False))


def _points(value: float, low: float, high: float) -> Entry:
    """Return a cell for a difference of shares in percentage points, coloured where its interval leaves out zero."""
    entry = number(PERCENT * value, 1, sign=True)
    kind = "better" if low > 0 else "worse" if high < 0 else ""
    return Entry(entry.text, entry.number, kind=kind, aside=interval(PERCENT * low, PERCENT * high, 1))


def _inserted_picture(kind: str, contrast: float, part: pd.DataFrame, methods: Sequence[str], deliver: str) -> Picture:
    title = f"{str(kind).replace('_', ' ').capitalize()}, contrast {number(contrast, sign=True).text}"
    colours = colours_of(methods, deliver)
    lines = [
        Course(
            title_of(name),
            one["size_voxels"].to_numpy(float),
            one["rate"].to_numpy(float),
            style_of(name, deliver),
            colours.get(name, ""),
        )
        for name in methods
        if not (one := where(part, method=name).sort_values("size_voxels")).empty
    ]
    text = "; ".join(f"{line.label} {', '.join(f'{100 * rate:.0f} %' for rate in line.y)}" for line in lines)
    image = draw_courses(title, "size (high-resolution voxels)", "share found", lines)
    return Picture(image, f"{title}. Found by rising size: {text}", "")


# Reliability


def reliability_part(cohort: Cohort, deliver: str) -> Part | None:
    """Return how well the predicted errors agree with the observed ones, over all test volumes."""
    table = tested(cohort.reliability)
    table = table[table["voxels"] > 0]
    if table.empty:
        return None
    methods = in_order(distinct(table, "method"), deliver)[::-1]
    pooled = {method: _pooled(where(table, method=method)) for method in methods}
    colours = colours_of(methods, deliver)
    lines = [
        Course(
            method_title(name),
            one["predicted"].to_numpy(float),
            one["observed"].to_numpy(float),
            style_of(name, deliver),
            colours.get(name, ""),
        )
        for name, one in pooled.items()
    ]
    text = "; ".join(
        f"{line.label}: predicted {line.x[0]:.3g} to {line.x[-1]:.3g}, observed {line.y[0]:.3g} to {line.y[-1]:.3g}"
        for line in lines
    )
    title = "Predicted and observed error"
    image = draw_courses(title, "predicted (normalised)", "observed (normalised)", lines, diagonal=True)
    rows = [
        (method_entry(name, deliver), *(number(row[key]) for key in ("bin", "predicted", "observed")), _voxels(row))
        for name, one in pooled.items()
        for row in records(one)
    ]
    headings = ("Method", "Bin", "Predicted", "Observed", "Voxels")
    return Part(
        "reliability",
        "Reliability of the uncertainty",
        (
            "Voxels in bins of the absolute error that was predicted for them, and the mean error that they "
            "have. On the dashed line the two agree; above it the results are worse than they claim.",
        ),
        pictures=(Picture(image, f"{title}. {text}", ""),),
        folded=(Listing("reliability-listing", "Predicted and observed error by bin", headings, tuple(rows)),),
    )


def _voxels(row: Mapping[str, Any]) -> Entry:
    return number(row["voxels"], 0)


def _pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over volumes, bin by bin, in which every voxel counts once."""
    weight = table["voxels"].to_numpy(float)
    products = table.assign(**{name: weight * table[name].to_numpy(float) for name in ("predicted", "observed")})
    sums: Any = products.groupby("bin", sort=True, as_index=False)[["predicted", "observed", "voxels"]].sum()
    return sums.assign(**{name: sums[name] / sums["voxels"] for name in ("predicted", "observed")})


# Tissue, diagnosis, duplicates


def tissue_part(cohort: Cohort, deliver: str) -> Part | None:
    """Return how far volumes of tissue agree with those of the reference."""
    table = tested(cohort.tissue_agreement)
    if table.empty:
        return None
    rows = [
        (
            method_entry(row["method"], deliver),
            split_entry(row["split"]),
            Entry(words(row["tissue"]).replace("_", " ")),
            Entry(
                number(row["bias_ml"], sign=True).text,
                float(row["bias_ml"]),
                aside=interval(row["bias_ci_low"], row["bias_ci_high"]),
            ),
            Entry(interval(row["loa_low_ml"], row["loa_high_ml"]) or "n/a"),
            number(row["n"], 0),
        )
        for row in by_split_and_method(table, deliver)
    ]
    headings = ("Method", "Split", "Tissue", "Bias (ml)", "Limits of agreement (ml)", "Subjects")
    return Part(
        "tissue",
        "Volumes of tissue",
        (
            "Volume of every tissue in a result, minus that in the reference, by the same segmentation "
            "(Bland and Altman).",
        ),
        listings=(Listing("tissue-listing", "Agreement of tissue volumes with the reference", headings, tuple(rows)),),
    )


def diagnosis_part(cohort: Cohort, deliver: str) -> Part | None:
    """Return how often pictures keep the class that a classifier gives to their reference."""
    table = tested(cohort.diagnosis)
    if table.empty:
        return None
    rows = [
        (
            method_entry(row["method"], deliver),
            split_entry(row["split"]),
            number(row["pictures"], 0),
            number(row["accuracy"], 3),
            Entry(
                number(row["agreement"], 3).text,
                float(row["agreement"]),
                aside=interval(row["agreement_ci_low"], row["agreement_ci_high"], 3, sign=False),
            ),
            Entry(
                number(row["diff"], 3, sign=True).text,
                float(row["diff"]),
                aside=interval(row["diff_ci_low"], row["diff_ci_high"], 3),
            ),
            Entry(method_title(words(row["baseline"]))),
        )
        for row in by_split_and_method(table, deliver)
    ]
    headings = ("Method", "Split", "Pictures", "Accuracy", "Agreement", "Difference", "Baseline")
    return Part(
        "diagnosis",
        "Agreement of diagnoses",
        (
            "A classifier that learnt from true pictures was asked about restored ones. Agreement: share of pictures "
            "that keep the class of their reference, and its difference to the baseline that agrees best on "
            "validation. It is no diagnosis.",
        ),
        listings=(Listing("diagnosis-listing", "Classes of restored pictures", headings, tuple(rows)),),
    )


def duplicates_part(cohort: Cohort) -> Part | None:
    """Return the pictures and slices that stand in two splits."""
    table = cohort.duplicates
    if table.empty:
        return None
    rows = [
        (
            Entry(words(row["picture"])),
            split_entry(row["split"]),
            Entry(words(row["volume"])),
            Entry(words(row["near_duplicate_of"])),
            split_entry(row["near_duplicate_split"]),
            Entry(words(row["near_duplicate_volume"])),
            number(row["distance"], 0),
        )
        for row in records(table.head(MAX_LISTED))
    ]
    more = len(table) - len(rows)
    rest = (f"{more} more are not listed; all stand in duplicates.csv.",) if more > 0 else ()
    headings = ("Picture or slice", "Split", "Volume", "Looks like", "Split", "Volume", "Bits that differ")
    return Part(
        "duplicates",
        "Near-duplicates across splits",
        (
            "Pictures and slices of two splits whose perceptual hashes (64 bits) differ in few bits. Pictures of this "
            "kind are left out of the test; slices of volumes stay in: whether it is the same head is for a person to "
            "say.",
            *rest,
        ),
        listings=(Listing("duplicates-listing", "Pictures and slices that look alike", headings, tuple(rows)),),
    )
