"""Volume by volume: how the deliverable fares against the best baseline, the worst first, and what failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.reporting.cohort_inputs import Cohort
from pipeline.reporting.listing import Entry, Listing, words
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.setbacks import Setback, agreement_setbacks, diagnosis_setbacks, inserted_setbacks
from pipeline.reporting.tables import Column, columns_of, first_region, records, where
from pipeline.reporting.titles import TESTED, method_title

PASSED = {"true": True, "false": False}


@dataclass(frozen=True)
class Trouble:
    """Something that went wrong: what, in which volumes (none: in a split as a whole), and the numbers behind it."""

    what: str
    volumes: tuple[str, ...] = ()
    text: str = ""


def gains(run: RunRecord, column: Column, deliver: str) -> pd.DataFrame:
    """Returns, by volume of the test splits, the deliverable's value and its difference to the baseline of a measure.

    Returns:
        Index volume; columns value, difference (better is positive), NaN where one of both was not measured.
    """
    here: Any = where(run.volumes, region=column.region, metric=column.metric)
    here = here[here["split"].isin(TESTED)]
    by_method = here.pivot_table(index="volume", columns="method", values="value", aggfunc="first", sort=False)
    by_method = by_method.reindex(columns=list(dict.fromkeys([deliver, column.baseline])))
    difference = by_method[deliver] - by_method[column.baseline]
    sign = 1.0 if column.higher_is_better else -1.0
    return pd.DataFrame({"value": by_method[deliver], "difference": sign * difference})


def tested_volumes(run: RunRecord) -> dict[str, tuple[str, str]]:
    """Return subject and split of every volume of the test splits."""
    here: Any = run.volumes[run.volumes["split"].isin(TESTED)]
    return {row["volume"]: (row["subject"], row["split"]) for row in records(here.drop_duplicates("volume"))}


def failed_gates(gates: pd.DataFrame, deliver: str) -> dict[str, list[str]]:
    """Return the gates that the deliverable failed, by volume."""
    found: dict[str, list[str]] = {}
    for row in records(where(gates, method=deliver)):
        if not has_passed(row["passed"]):
            found.setdefault(row["volume"], []).append(gate_title(row["gate"]))
    return found


def has_passed(text: str) -> bool:
    """Read the column `passed`; what is neither true nor false has not passed."""
    return PASSED.get(str(text).strip().lower(), False)


def gate_title(name: str) -> str:
    """Return the name of a gate as a reader sees it."""
    return str(name).replace("_", " ")


def volume_listing(run: RunRecord, cohort: Cohort, deliver: str) -> Listing:
    """Return the volumes of the test splits with every measure over the first region, the smallest gain first."""
    columns = first_region(columns_of(run.summary))
    measured = {column: gains(run, column, deliver) for column in columns}
    failed = failed_gates(cohort.gates, deliver)
    gated = set(where(cohort.gates, method=deliver)["volume"].tolist())
    rows = [
        (
            Entry(volume, link=f"{volume}.html"),
            Entry(split.replace("_", " "), chip=split),
            Entry(words(subject)),
            *(_gain(measured[column], volume, column) for column in columns),
            *([_gates(failed.get(volume, []), volume in gated)] if gated else []),
        )
        for volume, (subject, split) in tested_volumes(run).items()
    ]
    first = 3
    rows.sort(key=lambda row: (row[first].key == "", row[first].number or 0.0))
    measures = [column.heading for column in columns]
    headings = ("Volume", "Role", "Subject", *measures, *(["Failed gates"] if gated else []))
    caption = f"{method_title(deliver)} on every test volume, the smallest gain first"
    return Listing("volumes-listing", caption, headings, tuple(rows), first)


def _gain(measured: pd.DataFrame, volume: str, column: Column) -> Entry:
    """Return a value with the difference below it; it is sorted by how much better it is than the baseline's."""
    if volume not in measured.index:
        return Entry("n/a", float("nan"))
    found: Any = measured.loc[volume]
    value, better = float(found["value"]), float(found["difference"])
    difference = better if column.higher_is_better else -better
    return Entry(
        column.format(value),
        better,
        kind="worse" if better < 0 else "",
        aside="" if pd.isna(better) else column.format(difference, sign=True),
    )


def _gates(failed: Sequence[str], gated: bool) -> Entry:
    if not gated:
        return Entry("not tested", float("nan"))
    return Entry(", ".join(failed) or "none", float(len(failed)), kind="failed" if failed else "")


def troubles(run: RunRecord, cohort: Cohort, deliver: str) -> list[Trouble]:
    """Return what went wrong in test volumes: failed gates, setbacks, measures by which the deliverable is worse."""
    behind = [trouble for split in TESTED for trouble in _behind(cohort, split, deliver)]
    return [*_gate_troubles(cohort.gates, deliver), *behind, *_losses(run, deliver)]


def _behind(cohort: Cohort, split: str, deliver: str) -> Iterator[Trouble]:
    for one in split_setbacks(cohort, split, deliver):
        yield Trouble(one.title if one.volumes else f"{one.title}, split {split}", one.volumes, one.text)


def split_setbacks(cohort: Cohort, split: str, deliver: str) -> list[Setback]:
    """Return where the deliverable falls behind on a split in what is asked beside measures of likeness."""
    rates = where(cohort.detection_rates, split=split)
    return [
        *inserted_setbacks(where(cohort.inserted, split=split), deliver, rates),
        *agreement_setbacks(where(cohort.tissue_agreement, split=split), deliver),
        *diagnosis_setbacks(where(cohort.diagnosis, split=split), deliver),
    ]


def _gate_troubles(gates: pd.DataFrame, deliver: str) -> Iterator[Trouble]:
    by_gate: dict[str, list[str]] = {}
    for volume, names in failed_gates(gates, deliver).items():
        for name in names:
            by_gate.setdefault(name, []).append(volume)
    for name, volumes in by_gate.items():
        yield Trouble(f"{method_title(deliver)} failed the gate “{name}”", tuple(volumes))


def _losses(run: RunRecord, deliver: str) -> Iterator[Trouble]:
    for column in first_region(columns_of(run.summary)):
        measured: Any = gains(run, column, deliver)
        difference = measured["difference"].sort_values()
        worse = [str(volume) for volume in difference.index[difference < 0]]
        if worse and column.baseline != deliver:
            baseline = method_title(column.baseline)
            yield Trouble(f"{method_title(deliver)} is worse than {baseline} by {column.title}", tuple(worse))


def winners(means: Mapping[Column, Mapping[str, float]]) -> list[tuple[str, list[str]]]:
    """Return the methods that have the best mean of some measure, with these measures; the one with most comes first.

    Measures of one property alone make no winner.

    Args:
        means: of every method, by measure.
    """
    found: dict[str, list[str]] = {}
    for column, values in means.items():
        usable = {method: column.better(value) for method, value in values.items() if pd.notna(value)}
        if usable and not column.of_one_property:
            found.setdefault(max(usable, key=lambda method: usable[method]), []).append(column.title)
    return sorted(found.items(), key=lambda pair: -len(pair[1]))
