"""A whole run that is small enough to be disturbed many times, and what is compared of it afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from tests.helpers import CHECKOUT, contents, without_privileges
from tests.workflow.project import configuration, environment, make_project

RESULTS = Path("results/small")
PATIENCE_S = 1200
"""How long a run may take on a machine that has much else to do."""
TIMES = {"logs", "benchmarks", "reports", "pages", "ro-crate-metadata.json", ".snakemake_timestamp"}
"""What tells of durations and of the day; the last is Snakemake's, in folders that a rule makes."""


def make_tiny(folder: Path) -> Path:
    """Make a project of a volume for training, one for validation and one for the test; return its folder."""
    config = make_project(folder)
    whole = configuration()
    volumes = [volume for volume in whole["volumes"] if volume["split"] != "test_within_subject"]
    insertion = {"kinds": ["lesion"], "sizes_voxels": [3], "contrasts": [0.4], "count": 4, "slices": 2}
    less = {"evaluate": {**whole["evaluate"], "metrics": ["psnr", "ssim"]}, "report": {"slices_shown": 1}}
    config.write_text(yaml.safe_dump({**whole, **less, "volumes": volumes, "insertion": insertion}), encoding="utf-8")
    return folder


def comparable(folder: Path) -> dict[str, str]:
    """Return hashes of all results of a run, except for recorded times."""
    made = {f"{top}/{name}": text for top in ("resources", "results") for name, text in contents(folder / top).items()}
    found = {name: digest for name, digest in made.items() if not TIMES & set(Path(name).parts)}
    for name in found:
        if name.endswith("history.csv"):
            table = pd.read_csv(folder / name).drop(columns="seconds", errors="ignore")
            found[name] = hashlib.sha256(table.to_csv().encode()).hexdigest()
    return found


@dataclass(frozen=True)
class Command:
    """A stage's command line in a run.

    Attributes:
        stage: its name.
        words: stage and options.
    """

    stage: str
    words: list[str]


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        status: its exit status; negative where a signal ended it.
        output: what it wrote.
        changes: how many changes of files it made, where it came to its end.
    """

    status: int
    output: str
    changes: int = 0

    @property
    def message(self) -> str:
        """The one message of a command that failed as it should."""
        assert self.status == 1, self.output
        assert "Traceback" not in self.output, self.output
        lines = self.output.splitlines()
        starts = [index for index, line in enumerate(lines) if line.startswith("error: ")]
        assert len(starts) == 1, self.output
        return "\n".join(lines[starts[0] :])


@dataclass(frozen=True)
class Server:
    """A running `tests.faults.stage_server`.

    Attributes:
        place: its folder.
        session: its processes.
    """

    place: Path
    session: int

    def commands(self) -> list[Command]:
        """Return one command of every stage that was ever run, in the order in which they came."""
        orders = (self.place / "orders").read_text(encoding="utf-8").splitlines()
        found: dict[str, Command] = {}
        for words in (json.loads(order)["words"] for order in orders):
            found.setdefault(words[0], Command(words[0], words))
        return list(found.values())

    def run(self, folder: Path, command: Command, kill_at: int = 0) -> Ended:
        """Run a stage in a folder, and has it killed as it begins a change of a file; 0 lets it end."""
        log, changes = self.place / "log", self.place / "changes"
        changes.unlink(missing_ok=True)
        order = {
            "folder": str(folder),
            "words": command.words,
            "threads": 2,
            "kill_at": kill_at,
            "changes": str(changes),
        }
        with log.open("w") as output, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(self.place / "socket"))
            socket.send_fds(server, [json.dumps(order).encode()], [output.fileno(), output.fileno()])
            answer = json.loads(server.recv(64))
        count = int(changes.read_text()) if changes.exists() else 0
        return Ended(answer["status"], log.read_text(), count)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let stages wait for as long as the block lasts."""
        _signal_session(self.session, "STOP")
        try:
            yield
        finally:
            _signal_session(self.session, "CONT")


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="stages-") as place:  # a socket's path must be short
        process = _server(place, [])
        try:
            assert process.stdout
            assert process.stdout.readline() == "serving\n"
            yield Server(Path(place), process.pid)
        finally:
            _signal_session(process.pid, "KILL")
            process.communicate()


def _server(place: str, command: Sequence[str | Path]) -> subprocess.Popen[str]:
    """Start a server."""
    return _start([sys.executable, "-m", "tests.faults.stage_server", place, *command], environment())


def _start(command: Sequence[str | Path], variables: dict[str, str]) -> subprocess.Popen[str]:
    """Start a command in a session of its own; permissions bind it even where root runs the tests."""
    prefix = without_privileges() if os.geteuid() == 0 else []
    return subprocess.Popen(
        [*prefix, *map(str, command)],
        cwd=CHECKOUT,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _signal_session(session: int, name: str) -> None:
    """Send a signal to a process and everything that it has started, at one stroke."""
    subprocess.run(["pkill", f"-{name}", "-s", str(session)], check=False)


class Run:
    """A run of the whole workflow in a folder, whose stages start quickly, see `tests.faults.stage_server`.

    Args:
        folder: of the project.
        arguments: further words for snakemake.
        server: runs the stages; where there is none, one is started that dies with the run.
    """

    def __init__(self, folder: Path, *arguments: str | Path, server: Server | None = None) -> None:
        command = ["snakemake", "--snakefile", CHECKOUT / "Snakefile", "--directory", folder, "--cores", "2"]
        command += ["--configfile", folder / "small.yaml", *arguments]
        self._own = server is None
        if server:
            self._place = server.place
            path = f"{server.place}{os.pathsep}{environment()['PATH']}"
            self.process = _start(command, {**environment(), "PATH": path})
            return
        # A socket's path must be short.
        self._place = Path(tempfile.mkdtemp(prefix="stages-"))
        self.process = _server(str(self._place), command)
        assert self.process.stdout
        assert self.process.stdout.readline() == "serving\n"

    def end(self) -> Ended:
        """Wait for the end."""
        output, _ = self.process.communicate(timeout=PATIENCE_S)
        if self._own:
            shutil.rmtree(self._place, ignore_errors=True)
        return Ended(self.process.returncode, output)

    def kill(self) -> Ended:
        """Kill snakemake and, where they have a server of their own, all its jobs."""
        _signal_session(self.process.pid, "KILL")
        return self.end()

    def kill_a_job(self, generator: np.random.Generator) -> bool:
        """Kill one of the stages that run now, if there is one; says whether there was."""
        running = sorted(int(note.name) for note in (self._place / "jobs").iterdir())
        if not running:
            return False
        try:
            os.kill(int(generator.choice(running)), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def wait(self, seconds: float) -> bool:
        """Wait for some time or the end; says whether it still runs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            time.sleep(0.01)
        return self.process.poll() is None


def run(server: Server, folder: Path, *arguments: str | Path) -> Ended:
    """Run the workflow in a folder to its end."""
    return Run(folder, *arguments, server=server).end()


@dataclass(frozen=True)
class Clean:
    """A run that nothing disturbed.

    Attributes:
        folder: its project; only to be copied.
        commands: one command of every stage.
        expected: hashes of what it left, see `comparable`.
        seconds: how long it took.
    """

    folder: Path
    commands: list[Command]
    expected: dict[str, str]
    seconds: float

    def copy(self, folder: Path) -> Path:
        """Return a copy of the finished project, file times and Snakemake's records included."""
        return shutil.copytree(self.folder, folder)

    def start(self, folder: Path) -> Path:
        """Return a copy of the project in which nothing has run."""
        return shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("results", "resources", ".snakemake"))


def clean_run(server: Server, folder: Path) -> Clean:
    """Run the workflow undisturbed."""
    make_tiny(folder)
    began = time.monotonic()
    ended = run(server, folder)
    assert ended.status == 0, ended.output
    return Clean(folder, server.commands(), comparable(folder), time.monotonic() - began)


def differing(found: Path, expected: dict[str, str]) -> list[str]:
    """Return the files of a project that are missing, too many, or not what they should be."""
    made = comparable(found)
    return sorted(name for name in {*made, *expected} if made.get(name) != expected.get(name))


def earlier_results_differ(folder: Path, expected: dict[str, str]) -> list[str]:
    """Return the files that stand under a final name and are not what they should be; see `unfinished`."""
    made = {name: digest for name, digest in comparable(folder).items() if not unfinished(name)}
    return sorted(name for name, digest in made.items() if expected.get(name) != digest)


def unfinished(name: str) -> bool:
    """Return whether a file is one that only an unfinished stage leaves."""
    return ".partial-" in name or ".unfinished" in name or "checkpoints/" in name


def leftovers(folder: Path) -> list[str]:
    """Return temporary files and resume state that a finished run should not have."""
    return [name for name in contents(folder) if unfinished(name)]


def finished_files(folder: Path) -> dict[str, str]:
    """Return hashes of all files of a project that stand under a final name."""
    made = contents(folder)
    return {name: made[name] for name in made if not unfinished(name) and Path(name).name not in TIMES}
