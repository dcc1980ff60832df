"""A Slurm cluster of one node on this machine: real daemons, settings in a folder of its own, two pretended GPUs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

DAEMONS = ("munged", "slurmctld", "slurmd")
SETTINGS = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
# A job that was requeued waits until what its first run may identify itself with has expired.
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/task_prolog
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=2
GresTypes=gpu
# Memory is watched by adding up what the processes of a job use, since there are no cgroups for it.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
KillWait=2
MinJobAge=3600
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=20000 Gres=gpu:2
PartitionName=compute Nodes=ALL Default=YES DefMemPerCPU=500
PartitionName=gpu Nodes=ALL DefMemPerCPU=500
"""
GPUS = """\
NodeName={host} Name=gpu File=/dev/null
NodeName={host} Name=gpu File=/dev/zero
"""
PROLOG = """\
#!/bin/sh
# Runs at the start of every task, with the environment of the task.
echo "$SLURM_JOB_ID ${{CUDA_VISIBLE_DEVICES-none}}" >> {folder}/seen_gpus
"""
COLUMNS = ("JobID", "Comment", "State", "WorkDir", "RestartCnt", "TimeLimit", "MinMemory", "NumCPUs", "tres-per-job")
SRUN = """\
#!/bin/sh
# Snakemake's executor takes all variables of Slurm away from the steps of a job, and with them where the settings are.
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""
PATIENCE_S = 60

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Job:
    """A job as `squeue` tells of it, a finished one too.

    Attributes:
        number: Slurm's number.
        rule: `rule_<name>` or `rule_<name>_wildcards_<wildcards>`: the comment that Snakemake's executor leaves.
        state: such as RUNNING.
        folder: where it works.
        restarts: how often Slurm itself put it back into the queue.
        time_limit: hours:minutes:seconds.
        memory: with its unit, such as 4000M.
        cpus: processors.
        gpus: as `gres:gpu:1`, or N/A.
    """

    number: str
    rule: str
    state: str
    folder: str
    restarts: str
    time_limit: str
    memory: str
    cpus: str
    gpus: str

    @property
    def name(self) -> str:
        """The rule without its wildcards."""
        return self.rule.removeprefix("rule_").split("_wildcards_")[0]


class Cluster:
    """The daemons of a cluster; see `running_cluster`.

    Args:
        folder: settings, keys, state and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: dict[str, subprocess.Popen] = {}
        self._write_settings()

    def _write_settings(self) -> None:
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        facts = {
            "folder": self.folder,
            "srun": shutil.which("srun"),
            "host": socket.gethostname().split(".")[0],
            "controller_port": _free_port(),
            "node_port": _free_port(),
        }
        files = {"slurm.conf": SETTINGS, "gres.conf": GPUS, "task_prolog": PROLOG, "bin/srun": SRUN}
        for name, text in files.items():
            (self.folder / name).write_text(text.format(**facts))
            (self.folder / name).chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """What commands of Slurm need to find this cluster."""
        path = os.pathsep.join([str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def start(self) -> None:
        """Start all daemons and waits until the node takes jobs."""
        names = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid"}
        names |= {"log-file": "munge.log", "seed-file": "munge.seed"}
        options = [f"--{option}={self.folder / name}" for option, name in names.items()]
        self._start("munged", "--foreground", "--force", *options)
        wait_for((self.folder / "munge.socket").exists, "munged listens")
        self._start("slurmctld", "-D")
        self.start_node()
        wait_for(lambda: set(self.tell("sinfo", "-h", "-o", "%t").split()) == {"idle"}, "the node is idle")

    def start_node(self) -> None:
        """Start the daemon of the node."""
        self._start("slurmd", "-D")

    def kill_node(self) -> None:
        """Kill the daemon of the node; its jobs run on."""
        self._daemons["slurmd"].kill()
        self._daemons["slurmd"].wait()

    def stop(self) -> None:
        """Cancel what still runs and ends the daemons."""
        if self._daemons["slurmctld"].poll() is None:
            self.tell("scancel", "--me")
            wait_for(lambda: not self.tell("squeue", "-h"), "all jobs have ended")
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in self._daemons.values():
            daemon.wait(PATIENCE_S)

    def _start(self, name: str, *arguments: str) -> None:
        command = _daemon(name)
        assert command
        with (self.folder / f"{name}.out").open("a") as out:
            self._daemons[name] = subprocess.Popen(
                [command, *arguments], env={**os.environ, **self.environment}, stdout=out, stderr=out
            )

    def tell(self, *command: str) -> str:
        """Run a command of Slurm; return what it printed, also where it failed."""
        environment = {**os.environ, **self.environment}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return result.stdout.strip()

    def jobs(self, folder: Path) -> list[Job]:
        """Return all jobs, finished ones too, that work in a folder, in the order of their submission."""
        columns = ",".join(f"{column}:|" for column in COLUMNS)
        lines = self.tell("squeue", "--states=all", "--noheader", "-O", columns).splitlines()
        found = [Job(*line.split("|")[: len(COLUMNS)]) for line in lines]
        return sorted((job for job in found if job.folder == str(folder)), key=lambda job: int(job.number))

    def gpus_seen(self) -> dict[str, str]:
        """Return by the job's number what CUDA_VISIBLE_DEVICES was within its last step; "none" where it was unset."""
        return dict(line.split() for line in (self.folder / "seen_gpus").read_text().splitlines())


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Yield a cluster that takes jobs, for as long as the block lasts."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def missing_daemons() -> list[str]:
    """Return what of Slurm is not installed here."""
    return [name for name in DAEMONS if _daemon(name) is None]


def _daemon(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")


def wait_for(question: Callable[[], Answer], what: str, seconds: float = PATIENCE_S) -> Answer:
    """Ask until the answer is true; return it.

    Raises:
        AssertionError: it never was, within the time.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")
