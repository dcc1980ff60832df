"""The whole workflow through Slurm, undisturbed, and a training that two tasks share."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest

from tests.slurm.runs import RESULTS, STEPS, TRAINED
from tests.workflow.project import CONTRACT

pytestmark = pytest.mark.slurm

GPU_RULES = {"train", "infer", "infer_delivered", "insert_structures"}
LOCAL_RULES = {"download", "publish", "publish_pages", "enforce"}
SHARED_TRAINING = (
    *("train:tasks=2", "train:tasks_per_gpu=0", "train:mpi=srun", "train:nodes=1", "train:gpu=2"),
    "train:srun=srun --ntasks=2 --nodes=1 --cpus-per-task=2",
    "train:launch=torch.distributed.run --nnodes=2 --nproc-per-node=1 --rdzv-backend=c10d"
    " --rdzv-endpoint=$(hostname):$((20000+SLURM_JOB_ID%10000)) --rdzv-id=$SLURM_JOB_ID -m",
)


def test_the_run_leaves_every_file_of_the_contract(undisturbed):
    assert [name for name in CONTRACT if not (undisturbed.results / name).is_file()] == []


def test_every_job_ended_well_once(undisturbed):
    ended_well = Counter(job.rule for job in undisturbed.jobs if job.state == "COMPLETED")
    assert set(ended_well) == {job.rule for job in undisturbed.jobs}
    assert set(ended_well.values()) == {1}
    assert len(ended_well) > 10


def test_small_steps_stay_where_snakemake_runs(undisturbed):
    assert not LOCAL_RULES & {job.name for job in undisturbed.jobs}


def test_small_jobs_of_many_volumes_share_one(undisturbed):
    assert [job.cpus for job in undisturbed.jobs if "extract" in job.name or "degrade" in job.name] == ["4"]


def test_jobs_ask_for_what_their_rules_say(undisturbed):
    training, summary = (next(job for job in undisturbed.jobs if job.name == name) for name in ("train", "summarise"))
    assert (training.cpus, training.memory, training.time_limit, training.gpus) == (
        *("2", "4000M", "4:00:00", "gres:gpu:1"),
    )
    assert (summary.cpus, summary.memory, summary.time_limit, summary.gpus) == ("1", "4000M", "4:00:00", "N/A")


def test_jobs_see_a_gpu_where_they_asked_for_one_and_no_other_does(undisturbed):
    seen = undisturbed.cluster.gpus_seen()
    by_rule = {job.name: seen[job.number] for job in undisturbed.jobs}
    assert {name for name, gpu in by_rule.items() if gpu != "none"} == GPU_RULES
    assert {by_rule[name] for name in GPU_RULES} <= {"0", "1"}


def test_two_tasks_share_one_training(undisturbed, tmp_path):
    """The lines for several nodes that docs/cluster.md gives, on the one node that is here."""
    run = undisturbed.copy(tmp_path / "run")
    result = run.finish("--retries", "0", "--set-resources", *SHARED_TRAINING, "--", TRAINED / "generator.safetensors")
    log = (run.folder / RESULTS / "logs/train/rrdb_l1.log").read_text()
    assert result.returncode == 0, result.stdout + log
    assert len(run.trainings) == 1
    assert "distributed_backend=gloo" in log and "MEMBER: 2/2" in log
    one, two = (pd.read_csv(each.folder / TRAINED / "history.csv")["loss"] for each in (undisturbed, run))
    assert len(one) == len(two) == STEPS
    assert two.to_numpy() == pytest.approx(one.to_numpy(), rel=1e-4)
