"""A large run for the tests of the page over all volumes: records of a small real run, tables of many volumes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.sections import Evaluate
from pipeline.reporting.run_record import table_of
from pipeline.statistics.measurements import volume_table
from pipeline.statistics.summary import summarise
from pipeline.tables.cell_agreement import CELL_AGREEMENT, CellAgreement
from pipeline.tables.membrane_agreement import MEMBRANE_AGREEMENT, MembraneAgreement
from pipeline.tables.slices import SLICES
from pipeline.tables.summary import SUMMARY
from pipeline.tables.volumes import VOLUMES
from tests.report_run import index_command

METHODS = ("nearest", "bicubic", "bspline3", "zerofill", "nlm_bspline3", "pretrained", "rrdb_l1")
LEVELS = {"nearest": 20.0, "bicubic": 24.0, "bspline3": 24.3, "zerofill": 24.5, "nlm_bspline3": 24.4}
HOSTILE_NAME = '"><img src=x onerror=alert(1)>\u202e\u2603' + "n" * 280
"""What no volume may be called, but a subject of somebody's table may be."""
SLICE_COUNT = 5
TABLES = (
    *("comparisons", "gates", "inserted_structures", "detection_rates", "reliability", "tissue_agreement", "diagnosis"),
    *("membrane_agreement", "cell_agreement", "uncertainty", "duplicates"),
)
"""Tables for every optional section of the page."""


def make_cohort(run: Path, folder: Path, count: int) -> Path:
    """Write the tables of `count` test volumes into `folder`; return it.

    Args:
        run: a small run with its provenance, see `tests.report_run`.
        folder: where the tables go.
        count: test volumes, each of a subject of its own.
    """
    generator = np.random.default_rng(3)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"volume-{number:03d}" for number in range(count)]
    subjects = {name: HOSTILE_NAME if place == 0 else f"S{place}" for place, name in enumerate(names)}
    slices = _slices(names, subjects, generator)
    SLICES.write(folder / "slices.csv", slices)
    VOLUMES.write(folder / "volumes.csv", volume_table(slices))
    settings = Evaluate.model_validate({"bootstrap_samples": 100, "bootstrap_block_slices": 2})
    SUMMARY.write(folder / "summary.csv", summarise(slices, settings, 1))
    record = json.loads((run / "provenance.json").read_text())
    entry = next(volume for volume in record["volumes"] if volume["id"] == "other")
    val = next(volume for volume in record["volumes"] if volume["id"] == "mid")
    record["volumes"] = [val, *({**entry, "id": name, "subject": subjects[name]} for name in names)]
    record["config"]["infer"]["deliver"] = "rrdb_l1"
    (folder / "provenance.json").write_text(json.dumps(record))
    for name, table in optional_tables(names, subjects, generator).items():
        write_optional(folder / f"{name}.csv", table)
    return folder


def write_optional(path: Path, rows: pd.DataFrame) -> None:
    """Write a table of which no section reads all columns; those that are not given are filled."""
    table = table_of(path)
    filled = {name: "" if table.dtypes[name] == "str" else 0 for name in table.columns if name not in rows}
    table.write(path, rows.assign(**filled)[list(table.columns)])


def _slices(names: list[str], subjects: dict[str, str], generator: np.random.Generator) -> pd.DataFrame:
    places = [("mid", "S1", "val"), *((name, subjects[name], "test") for name in names)]
    rows = []
    for volume, subject, split in places:
        own = generator.normal(0, 1.5)
        for method in METHODS:
            level = LEVELS.get(method, 15.0 if method == "pretrained" else 24.7) + own + generator.normal(0, 0.4)
            for index in range(SLICE_COUNT):
                psnr = level + generator.normal(0, 0.3)
                ssim = float(np.clip(0.5 + psnr / 80, 0, 1))
                for region in ("foreground", "whole"):
                    rows += [
                        (volume, subject, split, method, region, "psnr", index, psnr),
                        (volume, subject, split, method, region, "ssim", index, ssim),
                    ]
    columns = ["volume", "subject", "split", "method", "region", "metric", "slice", "value"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def optional_tables(
    names: list[str], subjects: dict[str, str], generator: np.random.Generator
) -> dict[str, pd.DataFrame]:
    """Return tables with the columns that the stages write, for every part of the page."""
    methods = ("zerofill", "pretrained", "rrdb_l1")

    def measured(**columns: Any) -> dict[str, list[Any]]:
        return {key: list(values) for key, values in columns.items()}

    pairs = [(name, method) for name in names for method in methods]
    common = measured(
        volume=(name for name, _ in pairs),
        subject=(subjects[name] for name, _ in pairs),
        split=("test" for _ in pairs),
        method=(method for _, method in pairs),
    )
    base = pd.DataFrame(common)
    gates = base.assign(gate="residual_mean", value=generator.gamma(2, 0.01, len(base)), limit=0.09)
    gates["passed"] = gates["value"] <= gates["limit"]
    inserted = pd.concat(
        base.assign(
            **{"kind": kind, "size_voxels": size, "contrast": contrast, "inserted": 20, "false_alarms": 1},
            detected=[4 * size - 2 * methods.index(method) + 2 for method in base["method"].tolist()],
        )
        for kind in ("lesion", "vessel")
        for size in (1, 2, 4)
        for contrast in (-0.2, 0.4)
    )
    conditions: Any = inserted.groupby(["split", "method", "kind", "size_voxels", "contrast"], as_index=False)
    rates = conditions[["inserted", "detected", "false_alarms"]].sum()
    together: Any = rates.groupby(["split", "method"], as_index=False)[["inserted", "detected", "false_alarms"]].sum()
    detection_rates = pd.concat([rates, together])
    detection_rates = detection_rates.assign(
        subjects=len(set(subjects.values())),
        rate=detection_rates["detected"] / detection_rates["inserted"],
        false_alarm_rate=detection_rates["false_alarms"] / detection_rates["inserted"],
        **{"diff": -0.1, "diff_ci_low": -0.15, "diff_ci_high": -0.05},
        **{"net_diff": 0.02, "net_diff_ci_low": -0.01, "net_diff_ci_high": 0.05},
    )
    detection_rates["ci_low"], detection_rates["ci_high"] = detection_rates["rate"] - 0.1, detection_rates["rate"] + 0.1
    reliability = pd.concat(
        base.assign(bin=place, half_width=0.02 * place, error=0.01 * place, coverage=0.9, voxels=1000 - 100 * place)
        for place in range(1, 8)
    )
    uncertainty = pd.concat(
        base.assign(level=level, coverage=level, half_width=0.1, error=0.05, spearman=0.4, voxels=1000)
        for level in (0.5, 0.9)
    )
    others = [name for name in METHODS if name != "rrdb_l1"]
    comparisons = pd.DataFrame(
        [
            ("test", "rrdb_l1", "foreground", metric, other, len(names), 0.4, 0.3, 0.5, 1.2, 0.001, 0.006)
            for metric in ("psnr", "ssim")
            for other in others
        ],
        columns=pd.Index(
            [
                *("split", "method", "region", "metric", "baseline", "subjects", "diff", "diff_ci_low"),
                *("diff_ci_high", "effect", "p", "p_holm"),
            ]
        ),
    )
    tissue = pd.DataFrame(
        [("test", method, "white_matter", len(names), -1.5, -2.0, -1.0, -9.0, 6.0) for method in methods],
        columns=pd.Index(
            [
                *("split", "method", "tissue", "n", "bias_ml", "bias_ci_low", "bias_ci_high"),
                *("loa_low_ml", "loa_high_ml"),
            ]
        ),
    )
    diagnosis = pd.DataFrame(
        [("test", method, 80, 0.8, 0.9, 0.85, 0.95, "zerofill", 0.02, -0.01, 0.05) for method in methods],
        columns=pd.Index(
            [
                *("split", "method", "pictures", "accuracy", "agreement", "agreement_ci_low", "agreement_ci_high"),
                *("baseline", "diff", "diff_ci_low", "diff_ci_high"),
            ]
        ),
    )
    membranes = MEMBRANE_AGREEMENT.frame(
        MembraneAgreement(
            *("test", method, 18, 0.9, 0.7, 1.6, 1.4, 1.8, 0.3, 0.2, 0.4),
            *("bspline3", *((math.nan,) * 3 if method == "reference" else (-0.2, -0.3, -0.1))),
        )
        for method in (*methods, "reference")
    )
    cells = CELL_AGREEMENT.frame(
        CellAgreement("test", method, 12, 900, 850, 0.9, 0.85, 0.87, 0.8, 0.9, "bspline3", -0.02, -0.03, -0.01)
        for method in methods
    )
    duplicates = pd.DataFrame(
        [(HOSTILE_NAME, "test", names[0], "007", "train", "low", 3)],
        columns=pd.Index(
            [
                *("picture", "split", "volume", "near_duplicate_of", "near_duplicate_split"),
                *("near_duplicate_volume", "distance"),
            ]
        ),
    )
    return {
        **{"comparisons": comparisons, "gates": gates, "inserted_structures": inserted},
        **{"detection_rates": detection_rates, "reliability": reliability, "uncertainty": uncertainty},
        **{"tissue_agreement": tissue, "diagnosis": diagnosis, "duplicates": duplicates},
        "membrane_agreement": membranes,
        "cell_agreement": cells,
    }


def cohort_command(run: Path, folder: Path, output: Path, **settings: Any) -> list[str]:
    """Return the command line of the stage `index` for the tables in `folder`."""
    command = index_command(run, output, **settings)
    own = [f"{name}.csv" for name in ("volumes", "slices", "summary")] + ["provenance.json"]
    command = [str(folder / Path(part).name) if Path(part).name in own else part for part in command]
    return [*command, "--tables", *(str(folder / f"{name}.csv") for name in TABLES)]
