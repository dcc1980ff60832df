"""What goes wrong on clusters: each time the work goes on, ends in the same bytes, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import CHECKOUT
from tests.slurm.cluster import wait_for
from tests.slurm.runs import BUSY_S, CHECKPOINT_EVERY, TABLES, TARGETS, TRAINED, ClusterRun, finished

pytestmark = pytest.mark.slurm

AT_ONCE = 3
"""Faults that are under way at a time: most of their time, Snakemake waits to ask Slurm again."""
UPSTREAM = {"volumes", "extract", "degrade", "tune", "convert_weights", "convert_vgg", "interpolate", "duplicates"}


@dataclass(frozen=True)
class Outcome:
    """How a disturbed run ended.

    Attributes:
        run: it.
        steps_repeated: training steps that were computed twice.
    """

    run: ClusterRun
    steps_repeated: int

    @property
    def jobs_repeated(self) -> int:
        """Jobs that ran although their results had been there: another of their kind had ended well."""
        done = Counter(job.rule for job in self.run.jobs if job.state == "COMPLETED")
        again = sum(count - 1 for count in done.values())
        return again + sum(job.name.split("_")[0] in UPSTREAM for job in self.run.jobs)


def cancelled(run: ClusterRun) -> Outcome:
    """`scancel` of the training; the user starts the run again."""
    first, _ = run.start_and_freeze("--retries", "0", *TARGETS)
    lost = run.steps_done() - run.steps_saved()
    run.cluster.tell("scancel", run.trainings[-1].number)
    stopped = finished(first)
    assert stopped.returncode != 0
    assert "SLURM status is: 'CANCELLED'" in stopped.stdout
    _finish(run, *TABLES)
    return Outcome(run, lost)


def requeued(run: ClusterRun) -> Outcome:
    """`scontrol requeue` of the training, as preemption does it: the run goes on by itself."""
    first, _ = run.start_and_freeze(*TARGETS)
    lost = run.steps_done() - run.steps_saved()
    run.cluster.tell("scontrol", "requeue", run.trainings[-1].number)
    _ends_well(finished(first))
    assert [job.restarts for job in run.trainings] == ["1"]
    return Outcome(run, lost)


def out_of_time(run: ClusterRun) -> Outcome:
    """A training that hangs until its time is over: it is tried again with twice as much."""
    first, _ = run.start_and_freeze(*TARGETS)
    lost = run.steps_done() - run.steps_saved()
    run.cluster.tell("scontrol", "update", f"JobId={run.trainings[-1].number}", "TimeLimit=1")
    _ends_well(finished(first))
    assert [job.state for job in run.trainings] == ["TIMEOUT", "COMPLETED"]
    assert run.trainings[-1].time_limit == "8:00:00"
    return Outcome(run, lost)


def out_of_memory(run: ClusterRun) -> Outcome:
    """A training that is granted too little memory: it is tried again with more, until it is enough."""
    run.change({"resources": {"memory_mb": 500}})
    _ends_well(run.finish(TRAINED / "generator.safetensors"))
    granted = [job.memory for job in run.trainings]
    assert granted == ["500M", "1000M", "1500M"][: len(granted)]
    assert len(granted) > 1
    assert run.trainings[-1].state == "COMPLETED"
    run.change({"resources": {"memory_mb": 4000}})
    _finish(run)
    return Outcome(run, 0)


def node_restarted(run: ClusterRun) -> Outcome:
    """The node's daemon is killed and started again: the training does not notice."""
    first, process = run.start_and_freeze(*TARGETS)
    run.cluster.kill_node()
    os.kill(process, signal.SIGCONT)
    run.cluster.start_node()
    _ends_well(finished(first))
    assert [(job.state, job.restarts) for job in run.trainings] == [("COMPLETED", "0")]
    return Outcome(run, 0)


def abandoned(run: ClusterRun) -> Outcome:
    """Snakemake itself is killed while the training runs on; it is started again too early, and then in time."""
    first, process = run.start_and_freeze(*TARGETS)
    first.kill()
    first.wait()
    job = run.trainings[-1].number
    locked = run.finish(*TARGETS)
    assert locked.returncode != 0
    assert "--unlock" in locked.stdout
    _ends_well(run.finish("--unlock"))
    early = run.finish(*TARGETS)
    assert early.returncode != 0
    assert f"{job} rule_train_wildcards_rrdb_l1 (RUNNING)" in early.stdout
    assert f"scancel {job}" in early.stdout
    _second_trainer_is_refused(run, process)
    os.kill(process, signal.SIGCONT)
    wait_for(lambda: run.trainings[-1].state == "COMPLETED", "the abandoned training ends well", BUSY_S)
    _finish(run)
    return Outcome(run, 0)


def _second_trainer_is_refused(run: ClusterRun, first: int) -> None:
    """The command of a training, on another machine so to say: started by hand, while the job runs."""
    command = Path(f"/proc/{first}/cmdline").read_text().split("\0")[:-1]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    result = subprocess.run(command, cwd=run.folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"Slurm job {run.trainings[-1].number}" in result.stderr


def _finish(run: ClusterRun, *more: Path) -> None:
    _ends_well(run.finish(*TARGETS, *more))


def _ends_well(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout


FAULTS: tuple[Callable[[ClusterRun], Outcome], ...] = (
    out_of_time,
    cancelled,
    requeued,
    out_of_memory,
    node_restarted,
    abandoned,
)


@pytest.fixture(scope="module")
def outcomes(undisturbed, tmp_path_factory) -> Iterator[dict[str, Future[Outcome]]]:
    """All faults, each in a copy of the undisturbed run that has come as far as the training."""
    folders = {fault.__name__: tmp_path_factory.mktemp(fault.__name__) / "run" for fault in FAULTS}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            fault.__name__: pool.submit(lambda act, to: act(undisturbed.copy(to)), fault, folders[fault.__name__])
            for fault in FAULTS
        }


@pytest.mark.parametrize("fault", [fault.__name__ for fault in FAULTS])
def test_a_fault_costs_no_finished_work_and_changes_no_byte(outcomes, undisturbed, figures, fault):
    outcome = outcomes[fault].result()
    made, expected = outcome.run.comparable(), undisturbed.comparable()
    differing = sorted(name for name, digest in made.items() if expected[name] != digest)
    figures[fault] = (outcome.jobs_repeated, outcome.steps_repeated, len(differing))
    assert differing == []
    assert {str(path.relative_to("results/small")) for path in TARGETS} <= set(made)
    assert outcome.jobs_repeated == 0
    assert 0 <= outcome.steps_repeated < CHECKPOINT_EVERY
    assert "Nothing to be done" in outcome.run.finish("--dry-run", *TARGETS).stdout
