"""A small run for the tests of the pages: synthetic heads through the real stages, networks played by mixtures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.baselines import bspline3
from pipeline.baselines.tuning.apply import Tuning, read_tuning, upsample
from pipeline.baselines.tuning.search import tune
from pipeline.config.sections import Degrade, Evaluate, Extract
from pipeline.config.sources import LocalSource
from pipeline.config.volumes import Volume
from pipeline.files import write_json, write_text
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.extraction import extract
from pipeline.formats.io.predictions import prediction_path, read_prediction, write_prediction
from pipeline.metrics.evaluation.measure import evaluate
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.grid import pad_to_multiple
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.sources.download_record import DownloadRecord
from pipeline.statistics.measurements import read_parts, volume_table
from pipeline.statistics.summary import summarise
from pipeline.steps.__main__ import main
from pipeline.tables.slices import SLICES
from pipeline.tables.summary import SUMMARY
from pipeline.tables.volumes import VOLUMES
from tests.helpers import ras_affine, synthetic_head, write_nifti

HOSTILE = '<script>alert("pwned")</script>\'"&'
Plane = Literal["axial", "coronal", "sagittal"]
BASELINES = ("nearest", "bicubic", "bspline3", "zerofill", "nlm_bspline3", "least_squares")
BLOCKS: tuple[dict[str, Any], ...] = (
    {"id": "low", "subject": "S1", "split": "train", "source": "mine", "slices": [8, 20]},
    {"id": "mid", "subject": "S1", "split": "val", "source": "mine", "slices": [30, 36]},
    {"id": "block", "subject": "S1", "split": "test_within_subject", "source": "mine", "slices": [45, 53]},
    {"id": "other", "subject": "S2", "split": "test", "source": "theirs", "slices": [10, 26]},
)
EVALUATE: dict[str, Any] = {"bootstrap_samples": 200, "bootstrap_block_slices": 3}
SEED = 7


def config(plane: Plane = "axial") -> dict[str, Any]:
    """Return the run's configuration; titles from its sources try to break out of the page."""
    kinds = {"kind": "local", "title": HOSTILE, "licence": HOSTILE, "citation": f"{HOSTILE} doi:10.1000/{HOSTILE}"}
    sources = {name: {**kinds, "path": f"{name}.nii.gz"} for name in ("mine", "theirs")}
    extracting = {"plane": plane}
    return {
        "run": "small",
        "seed": SEED,
        "volumes": list(BLOCKS),
        "sources": sources,
        "evaluate": EVALUATE,
        "extract": extracting,
    }


def make_run(folder: Path, plane: Plane = "axial", spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Path:
    """Make everything that the stages `provenance`, `report` and `index` read, below `folder`; return `folder`."""
    settings = Evaluate(**EVALUATE)
    shape = {"axial": (45, 52, 60), "coronal": (45, 60, 52), "sagittal": (60, 45, 52)}[plane]
    for seed, name in enumerate(("mine", "theirs")):
        write_nifti(folder / f"{name}.nii.gz", synthetic_head(shape, seed), ras_affine(spacing))
        source = LocalSource.model_validate(config()["sources"][name])
        DownloadRecord.of(name, source, 64 * "0", 1).write(folder / f"{name}.nii.gz.source.json")
    for entry in BLOCKS:
        _measure_inputs(folder, entry, plane)
    references = [read_image(folder / "extracted/mid.safetensors")]
    tuning = tune(references, [read_image(folder / "degraded/mid.safetensors", LowResolutionImage)])
    write_json(folder / "tuning.json", tuning)
    for entry in BLOCKS[1:]:
        _restore(folder, entry["id"], read_tuning(folder / "tuning.json"))
        _evaluate(folder, entry["id"], settings)
    slices = read_parts([folder / f"parts/{entry['id']}.csv" for entry in BLOCKS[1:]])
    SLICES.write(folder / "slices.csv", slices)
    VOLUMES.write(folder / "volumes.csv", volume_table(slices))
    SUMMARY.write(folder / "summary.csv", summarise(slices, settings, SEED))
    _models(folder)
    write_text(folder / "config.json", json.dumps(config(plane)))
    return folder


def _measure_inputs(folder: Path, entry: dict[str, Any], plane: Plane) -> None:
    extracted = folder / f"extracted/{entry['id']}.safetensors"
    volume = Volume.model_validate_json(json.dumps(entry))
    extract(folder / f"{entry['source']}.nii.gz", volume, Extract(plane=plane), extracted)
    reference = read_image(extracted)
    model = forward_model(reference, Degrade(), SEED)
    write_image(folder / f"degraded/{entry['id']}.safetensors", degrade(reference, model))


def _restore(folder: Path, volume: str, tuned: Tuning) -> None:
    reference = read_image(folder / f"extracted/{volume}.safetensors")
    low = read_image(folder / f"degraded/{volume}.safetensors", LowResolutionImage)
    for method in BASELINES:
        path = prediction_path(folder / "predictions", method, volume)
        write_prediction(path, low, upsample(low, method, tuned))
    smooth = bspline3.upsample(low.data, low.forward_model, {})
    sharp = pad_to_multiple(np.asarray(reference.data), low.forward_model.factors)
    mixtures = {"pretrained": 1.3 * smooth - 0.1, "rrdb_l1": 0.6 * smooth + 0.4 * sharp}
    for method, estimate in mixtures.items():
        write_prediction(prediction_path(folder / "predictions", method, volume), low, estimate)


def _evaluate(folder: Path, volume: str, settings: Evaluate) -> None:
    reference = read_image(folder / f"extracted/{volume}.safetensors")
    rows: list[Any] = []
    for method in (*BASELINES, "pretrained", "rrdb_l1"):
        estimate = read_prediction(prediction_path(folder / "predictions", method, volume), reference)
        rows.extend(evaluate(reference, method, estimate, settings))
    SLICES.write(folder / f"parts/{volume}.csv", rows)


def _models(folder: Path) -> None:
    write_text(folder / "models/pretrained/model_card.md", f"# Untouched {HOSTILE}\n")
    write_text(folder / "models/pretrained/history.csv", "step,learning_rate,loss\n")
    write_text(folder / "models/rrdb_l1/model_card.md", "# Fine-tuned\n")
    history = (
        "step,learning_rate,loss,val_psnr,val_ssim,seconds\n50,2e-4,0.04,22,0.7,61.5\n100,1e-5,0.03,23,0.75,120.2\n"
    )
    write_text(folder / "models/rrdb_l1/history.csv", history)


def provenance_command(folder: Path) -> list[str]:
    """Return the command line of the stage `provenance`."""
    sources = [str(folder / f"{name}.nii.gz.source.json") for name in ("mine", "theirs")]
    volumes = [str(folder / f"extracted/{entry['id']}.safetensors") for entry in BLOCKS]
    output = str(folder / "provenance.json")
    given = ["--config", str(folder / "config.json"), "--sources", *sources, "--volumes", *volumes]
    return ["provenance", *given, "--output", output]


def tables(folder: Path) -> list[str]:
    """Return the options that both pages share."""
    return [
        *("--volumes-table", str(folder / "volumes.csv"), "--slices", str(folder / "slices.csv")),
        *("--summary", str(folder / "summary.csv"), "--provenance", str(folder / "provenance.json")),
        *("--models", str(folder / "models/rrdb_l1"), str(folder / "models/pretrained")),
    ]


def write_report(folder: Path, volume: str, output: Path, *more: str, **settings: Any) -> int:
    """Write the page of a volume to a file; return the exit status of the step."""
    pages = output.parent / f"pages-of-{output.stem}"
    status = main([*report_command(folder, volume, pages, **settings), *more])
    if status == 0:
        (pages / f"{volume}.html").rename(output)
        shutil.rmtree(pages)
    return status


def report_command(folder: Path, volume: str, output: Path, **settings: Any) -> list[str]:
    """Return the command line of the step `report_volumes`, which writes into the folder `output`."""
    predictions = sorted(str(path) for path in (folder / "predictions").glob(f"*/{volume}.nii.gz"))
    return [
        *("report_volumes", "--hr", str(folder / f"extracted/{volume}.safetensors")),
        *("--lr", str(folder / f"degraded/{volume}.safetensors"), "--predictions", *predictions),
        *tables(folder),
        *("--tuning", str(folder / "tuning.json"), "--deliver", "rrdb_l1", "--settings", json.dumps(settings)),
        *("--output", str(output)),
    ]


def index_command(folder: Path, output: Path, **settings: Any) -> list[str]:
    """Return the command line of the stage `index`."""
    return ["report_index", *tables(folder), "--settings", json.dumps(settings), "--output", str(output)]
