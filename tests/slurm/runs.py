"""The workflow on the test's cluster, as a user runs it there."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from tests.helpers import CHECKOUT, contents
from tests.interruption import interrupted, interrupting, is_stopped
from tests.slurm.cluster import Cluster, Job, wait_for
from tests.workflow.project import environment

RESULTS = Path("results/small")
TRAINED = RESULTS / "models/rrdb_l1"
CHECKPOINTS = RESULTS / "checkpoints/rrdb_l1"
RESTORED = tuple(f"restored/{shard}/rrdb_l1" for shard in "23")
WITHOUT_MODEL = ("models/rrdb_l1", *RESTORED, "predictions/rrdb_l1", "uncertainty", "metrics", "sr", "published")
"""What a run has not yet made whose training is still to come."""
TARGETS = (RESULTS / "metrics/parts/3.csv", RESULTS / "published/3.volumes.json")
"""What a disturbed run is asked for: weights, voxels and measurements of the volumes of one shard."""
TABLES = tuple(RESULTS / f"metrics/{table}.csv" for table in ("volumes", "slices", "summary", "comparisons"))
"""What one of them is asked for as well: the tables over all volumes, which follow from the measurements."""
STEPS, CHECKPOINT_EVERY = 12, 4
BUSY_S = 600
"""How long anything may take on a machine that has much else to do."""


@dataclass(frozen=True)
class ClusterRun:
    """A project whose workflow runs on a cluster.

    Attributes:
        cluster: where jobs go.
        folder: where it works.
    """

    cluster: Cluster
    folder: Path

    @property
    def results(self) -> Path:
        """The run's results."""
        return self.folder / RESULTS

    @property
    def jobs(self) -> list[Job]:
        """All jobs of this run so far."""
        return self.cluster.jobs(self.folder)

    @property
    def trainings(self) -> list[Job]:
        """All jobs that trained."""
        return [job for job in self.jobs if job.name == "train"]

    def change(self, changes: dict[str, Any]) -> None:
        """Change top-level keys of the configuration."""
        path = self.folder / "small.yaml"
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump({**settings, **changes}), encoding="utf-8")

    def start(self, *arguments: str | Path, variables: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start snakemake by the profile for Slurm, but for what a test's cluster has to be asked otherwise."""
        command = ["snakemake", "--snakefile", CHECKOUT / "Snakefile", "--configfile", self.folder / "small.yaml"]
        command += ["--workflow-profile", CHECKOUT / "profiles/slurm", "--slurm-status-command", "squeue"]
        command += ["--slurm-init-seconds-before-status-checks", "2", *arguments]
        return subprocess.Popen(
            list(map(str, command)),
            cwd=self.folder,
            env=variables or self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run snakemake to its end."""
        return finished(self.start(*arguments))

    def start_and_freeze(self, *arguments: str | Path) -> tuple[subprocess.Popen[str], int]:
        """Start snakemake and wait until the training has stopped by SIGSTOP after its first checkpoint.

        Returns:
            Snakemake, and the process id of the training. A training that is started again does not stop.
        """
        note = self.folder / "frozen"
        variables = interrupting(self._environment, note, "generation-?.pt", 1, signal.SIGSTOP)
        snakemake = self.start(*arguments, variables=variables)
        wait_for(lambda: is_stopped(note), "the training has a checkpoint", BUSY_S)
        return snakemake, interrupted(note)

    @property
    def _environment(self) -> dict[str, str]:
        return {**environment(), **self.cluster.environment}

    def copy(self, folder: Path) -> ClusterRun:
        """Return a run that has come as far as the training, and no further."""
        shutil.copytree(self.folder, folder)
        run = ClusterRun(self.cluster, folder)
        for name in WITHOUT_MODEL:
            shutil.rmtree(run.results / name)
        return run

    def comparable(self) -> dict[str, str]:
        """Return hashes of weights, voxels and tables; of the history without its clock."""
        compared = ("models/", "predictions/", "sr/", "published/", "metrics/", "uncertainty/")
        hashes = {name: digest for name, digest in contents(self.results).items() if name.startswith(compared)}
        history = pd.read_csv(self.folder / TRAINED / "history.csv").drop(columns="seconds")
        return {**hashes, "models/rrdb_l1/history.csv": history.to_csv()}

    def steps_done(self) -> int:
        """Return the last step that the log of the training tells of."""
        lines = (self.results / "logs/train/rrdb_l1.log").read_text().splitlines()
        told = [line.split(" step ")[1].split()[0] for line in lines if ": step " in line]
        return int(told[-1]) if told else 0

    def steps_saved(self) -> int:
        """Return the step of the newest checkpoint."""
        kept = (self.folder / CHECKPOINTS).glob("generation-*.pt")
        return max(torch.load(path, weights_only=True)["step"] for path in kept)


def finished(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for snakemake's end."""
    output, _ = process.communicate(timeout=2 * BUSY_S)
    return subprocess.CompletedProcess(process.args, process.returncode, output)
