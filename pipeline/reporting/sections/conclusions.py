"""Conclusions: what the metrics allow to conclude, and what they do not."""

from __future__ import annotations

from typing import Any

from pipeline.reporting.frames import distinct
from pipeline.reporting.run_record import RunRecord, tested
from pipeline.reporting.section import Block, Folded, Heading, Items, Section
from pipeline.reporting.titles import SPLIT_ORDER, TESTED, method_title
from pipeline.statistics.conclusion import findings, scope

MAX_METRICS = 2
"""Metrics whose conclusions on the deliverable are shown at once; the others are folded."""


def for_index(run: RunRecord) -> Section | None:
    """Compare the networks with the best baseline in sentences."""
    if tested(run.volumes).empty:
        return None
    metrics = [column.metric for column in run.main_columns if not column.single_property][:MAX_METRICS]
    main: Any = (run.summary["method"] == run.deliver) & run.summary["metric"].isin(metrics)
    shown, folded = _sentences(run, run.summary[main]), _sentences(run, run.summary[~main])
    blocks: list[Block] = [Items(shown or ("The deliverable was not compared with a baseline.",))]
    if folded:
        blocks.append(Folded("Other metrics and other networks", (Items(folded),)))
    splits = [split for split in SPLIT_ORDER if split in TESTED and split in distinct(run.summary, "split")]
    limits = (
        *(scope(split, run.volumes, run.stacks) for split in splits),
        "Means do not describe single locations: a method that is better on average can be wrong where it matters. "
        "Detail finer than the low-resolution voxels is likely, not measured.",
    )
    return Section("conclusions", "Conclusions", (*blocks, Heading("What cannot be concluded"), Items(limits)))


def _sentences(run: RunRecord, summary: Any) -> tuple[str, ...]:
    by_split = findings(summary, confidence=run.confidence, title=method_title)
    return tuple(
        f"{run.split_title(split)}: {sentence}" for split, sentences in by_split.items() for sentence in sentences
    )
