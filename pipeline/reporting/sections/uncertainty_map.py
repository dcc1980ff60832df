"""The uncertainty map of a combined volume: what it shows, and what it does not."""

from __future__ import annotations

from pipeline.reporting.combined_report import CombinedReport
from pipeline.reporting.section import Items, Section, Text

WHAT = (
    "The map is the expected absolute error, in the units of the first scan. It combines the noise level with the root "
    "mean square difference between the least-squares reconstruction from all scans and those that leave out one scan "
    "each, with weights that were fitted on simulated scans of three heads. It is bright where the volume depends on a "
    "single scan: at fine detail that only one scan resolves, at artefacts and motion of one scan, and outside the "
    "field of view of the others."
)
NOT = (
    "It ranks single voxels poorly: it is calibrated on average, for scans like the simulated ones.",
    "Errors that all scans share do not appear: a wrong slice profile, distortion, or detail finer than all scans.",
    "A dark map is no evidence that a structure is real, or that none is missing.",
)


def for_combined(report: CombinedReport) -> Section:
    """Describe the uncertainty map."""
    del report
    return Section("uncertainty", "Uncertainty map", (Text(WHAT), Items(NOT)), style="prose")
