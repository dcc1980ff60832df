"""The summary at the top of the index page: what each split shows, and whether the deliverable is better."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from pipeline.reporting.cells import volume_links
from pipeline.reporting.frames import distinct, where
from pipeline.reporting.metric_table import MetricTable, first_region, split_table
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Section, Template, Text
from pipeline.reporting.setbacks import split_setbacks
from pipeline.reporting.titles import SPLIT_ORDER, method_title, split_claim
from pipeline.reporting.verdict import verdict, verdict_box

CAUTION = Text(
    Markup(
        "<strong>Not for diagnosis.</strong> Super-resolution shows what is likely, not what was measured. Detail "
        "finer than the low-resolution voxels can be wrong, even where it looks sharp."
    ),
    "caution",
)
MAX_LINKS = 6


@dataclass(frozen=True)
class SplitSummary:
    """One split: its title, what it can show, its volumes, the methods with the best means, and the verdict."""

    name: str
    title: str
    claim: str
    size: str
    volumes: Markup
    best: list[tuple[str, list[str]]]
    verdict: Template


def for_index(run: RunRecord) -> Section:
    """Summarise the test splits, or explain that there are none."""
    evaluated = distinct(run.summary, "split")
    splits = [split for split in SPLIT_ORDER if split in evaluated and split != "val"]
    if not splits:
        return Section("untested", "Nothing was tested", (UNTESTED, CAUTION), style="problems")
    summaries = [_split_summary(run, split) for split in splits]
    return Section(
        "summary", "Summary", (Template("split_summaries", summaries), CAUTION), style="splits", has_heading=False
    )


UNTESTED = Text(
    Markup(
        "<strong>No volume of this run has the split test (or test_within_subject): networks were trained, but not "
        "tested on unseen subjects.</strong> The results below are from the validation volumes, on which settings were "
        "chosen: they show that the run worked, but they are no evidence of its quality. To test the networks, assign "
        "volumes of other subjects to the split test and run again; finished trainings are kept."
    )
)


def _split_summary(run: RunRecord, split: str) -> SplitSummary:
    here = where(run.volumes, split=split)
    volumes, subjects = distinct(here, "volume"), len(distinct(here, "subject"))
    pictures = run.has_pictures(split)
    gaps = [gap for volume in volumes if (gap := run.provenance.gap_to_training(volume)) is not None]
    claim = split_claim(
        split, min(gaps, default=None), pictures=pictures, self_supervised=run.provenance.config.is_self_supervised
    )
    table = split_table(run.summary, split, run.deliver)
    setbacks = tuple(one for one in split_setbacks(run, split) if one.in_total)
    many = len(volumes) > MAX_LINKS
    return SplitSummary(
        name=split,
        title=run.split_title(split),
        claim=claim,
        size="pictures of unknown subjects" if pictures else f"{subjects} subject{'s' if subjects != 1 else ''}",
        volumes=Markup('<a href="#volumes">{} volumes</a>').format(len(volumes))
        if many
        else volume_links(volumes, MAX_LINKS),
        best=best_methods(table),
        verdict=verdict_box(verdict(table), split, run.confidence, covered(subjects, pictures=pictures), setbacks),
    )


def covered(subjects: int, *, pictures: bool) -> str:
    """Describe what the intervals of a split cover."""
    if pictures:
        return "over the pictures of this split"
    return "over the slices of this subject" if subjects == 1 else "over subjects and slices"


def best_methods(table: MetricTable) -> list[tuple[str, list[str]]]:
    """Return the methods with the best value of a metric over the first region, with these metrics, most metrics first.

    Metrics of a single property are left out.
    """
    found: dict[str, list[str]] = {}
    for column in first_region(table.columns) if table.columns else ():
        best = table.best(column)
        if best and not column.single_property:
            found.setdefault(method_title(best), []).append(column.title)
    return sorted(found.items(), key=lambda pair: -len(pair[1]))
