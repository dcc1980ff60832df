"""All inputs of the page of one volume, read from the files of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.baselines.tuning.apply import Tuning, read_tuning
from pipeline.formats.io.container import read_image
from pipeline.image.image import Image
from pipeline.image.slices import evenly_spaced
from pipeline.metrics.evaluation.regions import UNSEEN
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting.figures.gallery import LOW, REFERENCE, Gallery, build_gallery, choose_slices, is_stack
from pipeline.reporting.frames import distinct, where
from pipeline.reporting.metric_table import MetricTable
from pipeline.reporting.prediction_summary import PredictionSummary, summarise_predictions
from pipeline.reporting.resource_usage import Job, Shard, read_volume_jobs
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.setbacks import Setback, inserted_setbacks, tissue_volume_setbacks
from pipeline.reporting.titles import in_order, split_title
from pipeline.reporting.volume_metrics import slice_values, volume_table
from pipeline.tables.gates import GATES, GateResult
from pipeline.tables.inserted_structures import DETECTION_COUNTS
from pipeline.tables.reliability import RELIABILITY
from pipeline.tables.tissue import TISSUE

RANKING = (("foreground", "ssim"), ("foreground", "psnr"))
"""Region and metric that rank the pictures of a stack, by preference; otherwise the first metric is used."""


@dataclass(frozen=True)
class VolumeFiles:
    """Input files of the page of a volume.

    Attributes:
        reference: extracted volume.
        low: low-resolution volume.
        predictions: prediction files by method.
        tuning: settings of the tuned baselines.
        gates: tables of gates.
        inserted: tables of inserted structures.
        tissue: tables of tissue volumes.
        reliability: tables of errors by half-width of the intervals.
        uncertainty: uncertainty map of the deliverable.
        benchmarks: folder of the benchmarks of the run.
        shard: shard of the volume.
    """

    reference: Path
    low: Path
    predictions: Mapping[str, Path]
    tuning: Path
    gates: Sequence[Path] = ()
    inserted: Sequence[Path] = ()
    tissue: Sequence[Path] = ()
    reliability: Sequence[Path] = ()
    uncertainty: Path | None = None
    benchmarks: Path | None = None
    shard: Shard | None = None


@dataclass(frozen=True)
class VolumeReport:
    """Everything that the sections of a volume page need.

    Attributes:
        reference: extracted volume.
        low: low-resolution volume.
        run: tables and records of the run.
        predictions: summary of all predictions.
        deliver: method of the deliverable.
        baseline: best baseline by the first metric of the configuration.
        gallery: static images.
        metrics: metric table.
        tuned: settings of the tuned baselines, by name.
        gates: results of the gates, the deliverable last; empty if the run has none.
        inserted: rows of the volume in the tables of inserted structures.
        tissue: rows of the volume in the tables of tissue volumes.
        reliability: rows of the volume in the tables of errors by half-width of the intervals.
        uncertainty: uncertainty map of the deliverable.
        jobs: title and benchmark of the jobs behind the results.
    """

    reference: Image
    low: LowResolutionImage
    run: RunRecord
    predictions: PredictionSummary
    deliver: str
    baseline: str
    gallery: Gallery
    metrics: MetricTable
    tuned: Tuning
    gates: Sequence[GateResult]
    inserted: pd.DataFrame
    tissue: pd.DataFrame
    reliability: pd.DataFrame
    uncertainty: Path | None
    jobs: Sequence[tuple[str, Job]]

    @property
    def id(self) -> str:
        """Name of the volume."""
        return self.reference.id

    @property
    def split(self) -> str:
        """Split of the volume."""
        return self.reference.identity.split

    @property
    def split_title(self) -> str:
        """Displayed title of the split."""
        self_supervised = self.run.provenance.config.is_self_supervised
        return split_title(self.split, pictures=self.is_stack, self_supervised=self_supervised)

    @property
    def is_stack(self) -> bool:
        """Whether the slices are unordered pictures."""
        return is_stack(self.reference)

    @property
    def subjects(self) -> list[str]:
        """Evaluated subjects of the volume's split."""
        return distinct(where(self.run.volumes, split=self.split), "subject")

    @property
    def failed_gates(self) -> list[GateResult]:
        """Gates that the deliverable fails."""
        return [gate for gate in self.gates if gate.method == self.deliver and not gate.passed]

    @property
    def is_combined(self) -> bool:
        """Whether the reference was combined from several scans."""
        return any(len(one.sources) > 1 for one in self.run.provenance.volumes if one.id == self.id)

    @property
    def setbacks(self) -> list[Setback]:
        """Properties other than similarity in which the deliverable is worse than the best baseline."""
        return [
            *inserted_setbacks(self.inserted, self.deliver),
            *tissue_volume_setbacks(self.tissue, self.deliver),
        ]


def curve_methods(baseline: str, deliver: str) -> list[str]:
    """Return the methods that are drawn as lines; the deliverable last, on top."""
    return list(dict.fromkeys([baseline, "pretrained", deliver]))


def main_methods(available: Collection[str], baseline: str, deliver: str) -> list[str]:
    """Return the methods shown side by side: input, best baseline, pretrained network, deliverable, reference."""
    wanted = dict.fromkeys([LOW, baseline, "pretrained", deliver, REFERENCE])
    return [method for method in wanted if method in (LOW, REFERENCE) or method in available]


def read_volume_report(files: VolumeFiles, run: RunRecord, deliver: str, slices_shown: int) -> VolumeReport:
    """Read all inputs of the page of a volume.

    Args:
        files: input files.
        run: tables and records of the run.
        deliver: method of the deliverable.
        slices_shown: number of slices shown as static images.

    Raises:
        UserError: a file is missing or damaged.
    """
    reference, low = read_image(files.reference), read_image(files.low, LowResolutionImage)
    volume, baseline = reference.id, run.baseline
    indices = slices_to_show(reference, run, deliver, slices_shown)
    order = slices_to_show(reference, run, deliver, len(reference.block.foreground_slices))
    predictions = summarise_predictions(
        reference,
        low,
        files.predictions,
        deliver=deliver,
        main=main_methods(files.predictions, baseline, deliver),
        indices=indices,
        order=order if is_stack(reference) else None,
    )
    displayed = predictions.displayed
    scale = baseline if baseline in displayed else next(name for name in displayed if name not in (LOW, REFERENCE))
    shard = files.shard or Shard(volume, 1)
    return VolumeReport(
        reference=reference,
        low=low,
        run=run,
        predictions=predictions,
        deliver=deliver,
        baseline=baseline,
        gallery=build_gallery(reference, indices, displayed, predictions.titles, scale),
        metrics=volume_table(run, volume, deliver),
        tuned=read_tuning(files.tuning),
        gates=_read_gates(files.gates, volume, deliver),
        inserted=where(DETECTION_COUNTS.read_all(files.inserted), volume=volume),
        tissue=where(TISSUE.read_all(files.tissue), volume=volume),
        reliability=where(RELIABILITY.read_all(files.reliability), volume=volume),
        uncertainty=files.uncertainty,
        jobs=read_volume_jobs(files.benchmarks, volume, shard, [model.method for model in run.models]),
    )


def _read_gates(paths: Sequence[Path], volume: str, deliver: str) -> list[GateResult]:
    """Read the gates of a volume, sorted by method with the deliverable last."""
    found = [gate for path in paths for gate in GATES.read_rows(path) if gate.volume == volume]
    order = in_order({gate.method for gate in found}, deliver)
    return sorted(found, key=lambda gate: order.index(gate.method))


def slices_to_show(reference: Image, run: RunRecord, deliver: str, count: int) -> list[int]:
    """Return the slices to show: evenly spaced slices of a volume, or the worst pictures of a stack, worst first.

    Of a volume with metrics of unseen slices, only these are shown.

    Args:
        reference: extracted volume.
        run: tables of the run, with the metrics of every slice.
        deliver: method of the deliverable.
        count: number of slices.
    """
    if not is_stack(reference):
        found = choose_slices(reference, len(reference.block.foreground_slices))
        unseen = set(where(run.slices, volume=reference.id, region=UNSEEN)["slice"])
        return evenly_spaced([index for index in found if not unseen or index in unseen], count)
    here = where(run.slices, volume=reference.id, method=deliver)
    named = {(column.region, column.metric): column for column in run.columns}
    column = next((named[key] for key in RANKING if key in named), run.columns[0])
    slices, values = slice_values(where(here, region=column.region, metric=column.metric), deliver)
    order = np.argsort(values if column.higher_is_better else -values, kind="stable")
    return [reference.stack.middle_slice(int(index)) for index in slices[order[:count]]]
