"""Summary at the top of a volume page: what the volume can show, and whether the deliverable is better."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.image.stack import PLANE as PICTURE
from pipeline.reporting.frames import distinct, where
from pipeline.reporting.section import Facts, Section, Template, Text
from pipeline.reporting.sections.summary import CAUTION
from pipeline.reporting.titles import split_claim
from pipeline.reporting.verdict import verdict, verdict_box
from pipeline.reporting.volume_report import VolumeReport


@dataclass(frozen=True)
class VolumeSummary:
    """Content of the template."""

    claim: str
    facts: Facts
    caution: Text
    verdict: Template


def for_volume(volume: VolumeReport) -> Section:
    """Return the claim, the main facts and the verdict of a volume."""
    provenance, stack = volume.run.provenance, volume.is_stack
    plane = volume.reference.plane
    count = len(distinct(where(volume.run.slices, volume=volume.id), "slice"))
    unit = "picture" if stack else "slice" if plane == PICTURE else f"{plane} slice"
    facts = (
        ("Subject", "unknown" if stack else volume.reference.identity.subject),
        ("Split", volume.split),
        ("Evaluated", f"{count} {unit}{'s' if count != 1 else ''}"),
    )
    claim = split_claim(
        volume.split,
        provenance.gap_to_training(volume.id),
        pictures=stack,
        self_supervised=provenance.config.is_self_supervised,
    )
    covered = "over the pictures of this stack" if stack else "over the slices of this volume"
    box = verdict_box(verdict(volume.metrics), volume.split, volume.run.confidence, covered, tuple(volume.setbacks))
    content = VolumeSummary(claim, Facts(facts), CAUTION, box)
    return Section("summary", "Summary", (Template("volume_summary", content),), style="summary", has_heading=False)
