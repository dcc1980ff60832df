"""A small project for workflow tests: a cut of a real head, a small network, a configuration of a few steps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from pipeline.models.generator import Generator, Shape
from tests.helpers import CHECKOUT
from tests.known import known_file

CONTRACT = (
    "provenance.json",
    *(
        f"models/{m}/{f}"
        for m in ("pretrained", "rrdb_l1")
        for f in ("generator.safetensors", "model_card.md", "history.csv")
    ),
    *(f"models/rrdb_l1/{f}" for f in ("events.csv", "samples.safetensors")),
    *(
        f"predictions/{method}/head-test.nii.gz"
        for method in ("nearest", "bicubic", "bspline3", "lanczos", "zerofill", "nlm_bspline3", "pretrained", "rrdb_l1")
    ),
    "sr/head-test.nii.gz",
    "sr/head-test.uncertainty.nii.gz",
    *(f"metrics/{table}.csv" for table in ("reliability", "uncertainty", "inserted_structures", "detection_rates")),
    "metrics/volumes.csv",
    "metrics/slices.csv",
    "metrics/summary.csv",
    "metrics/tissue.csv",
    "metrics/tissue_agreement.csv",
    "metrics/comparisons.csv",
    "metrics/gates.csv",
    "reports/index.html",
    "reports/training.html",
    "reports/resources.html",
    "config.json",
    "ro-crate-metadata.json",
    "reports/head-test.html",
    "reports/head-block.html",
)


def make_project(folder: Path) -> Path:
    """Write two cuts of the MNI152 head, a small untrained network and the configuration; return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    head: Any = nib.load(known_file("mni152-2009a"))
    voxels = np.asarray(head.dataobj)
    _write_cut(folder / "one.nii.gz", voxels[40:104, 60:130, 50:110], head.affine)
    _write_cut(folder / "other.nii.gz", voxels[90:155, 110:174, 60:76], head.affine)
    torch.manual_seed(0)
    network = Generator(Shape(blocks=1, features=8, growth=4, channels=3)).network
    save_file(network.state_dict(), folder / "small.safetensors")
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(configuration()), encoding="utf-8")
    return path


def _write_cut(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    nib.Nifti1Image(np.ascontiguousarray(voxels), affine).to_filename(path)


def configuration() -> dict[str, Any]:
    """Return the configuration: six steps of a network of one block."""
    blocks = [
        ("head-low", "train", [0, 20]),
        ("head-val", "val", [28, 36]),
        ("head-block", "test_within_subject", [44, 60]),
    ]
    volumes = [{"id": i, "subject": "one", "split": s, "source": "one", "slices": b} for i, s, b in blocks]
    volumes.append({"id": "head-test", "subject": "other", "split": "test", "source": "other", "slices": None})
    network = {"blocks": 1, "features": 8, "growth": 4, "trained_on": "nothing, random numbers"}
    sources = {
        "one": {"kind": "local", "path": "one.nii.gz", "title": "a cut of an average head"},
        "other": {"kind": "local", "path": "other.nii.gz"},
        "small": {"kind": "local", "path": "small.safetensors", "network": network},
    }
    train = {"initial_weights": "small", "validate_every": 3, "checkpoint_every": 2}
    recipe = {"steps": 6, "batch_size": 2, "patch_lr": 8, "warmup_steps": 2}
    return {
        "run": "small",
        "volumes": volumes,
        "sources": sources,
        "methods": ["rrdb_l1"],
        "recipes": {"rrdb_l1": recipe},
        "train": train,
        # The network is hardly trained. Conda environments have no OpenVINO, which adds in another order than torch.
        "infer": {"deliver": "rrdb_l1", "force": True, "backend": "torch"},
        "evaluate": {"bootstrap_samples": 200},
        "shards": 5,  # head-val and head-test fall into the same one, head-block into another
    }


PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class Conda:
    """A stand-in for conda: its programs, the folder of its environments, and the record of what jobs import."""

    programs: Path
    prefix: Path
    watch: Path


def snakemake(
    folder: Path, *arguments: str | Path, checkout: Path = CHECKOUT, conda: Conda | None = None, activated: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run snakemake as a user types it, working in `folder`, with this test's Python, and conda's, on the PATH.

    Where that Python's environment is not activated, snakemake is called by its path.
    """
    program, variables = "snakemake" if activated else PROGRAMS / "snakemake", environment(activated)
    command = [program, "--snakefile", checkout / "Snakefile", "--directory", folder, "--cores", "2", *arguments]
    if conda:
        command += ["--use-conda", "--conda-prefix", conda.prefix]
        variables["PATH"] = f"{conda.programs}{os.pathsep}{variables['PATH']}"
        variables["WATCH_IMPORTS"] = str(conda.watch)
    return subprocess.run(list(map(str, command)), env=variables, capture_output=True, text=True, check=False)


def environment(activated: bool = True) -> dict[str, str]:
    """Return the environment of a user who has activated this test's virtual environment or not, and no PYTHONPATH."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    others = [folder for folder in inherited["PATH"].split(os.pathsep) if folder != str(PROGRAMS)]
    return {**inherited, "PATH": os.pathsep.join([str(PROGRAMS), *others] if activated else others)}


def jobs(result: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Return the rules of a dry run with their number of jobs, from its table of job statistics.

    Rules that are one a shard count as one, without the number of the shard.
    """
    found: Counter[str] = Counter()
    for rule, count in _counts(result.stdout.splitlines()):
        found[re.sub(r"_\d+$", "", rule)] += count
    return dict(found)


def _counts(lines: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield the rows of the first table; a dry run ends with the same one again."""
    for line in lines:
        words = line.split()
        if words[:1] == ["total"]:
            return
        if len(words) == 2 and words[0].isidentifier() and words[1].isdigit():
            yield words[0], int(words[1])
