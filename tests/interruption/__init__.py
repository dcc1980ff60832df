"""Processes that are killed or stopped at an exact moment: when one of them has replaced a file for the nth time.

Polling from outside would be a race, since a fast process ends before it is killed. The command line is the real one:
the folder of this module is put first on the PATH, and its `python` starts the real one with a hook.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
PATIENCE_S = 1200
"""How long a command may take on a machine that has much else to do."""


def interrupting(
    environment: Mapping[str, str], note: Path, file: str, times: int, sent: signal.Signals
) -> dict[str, str]:
    """Return an environment in which a Python process that is called `python` gets a signal as it has replaced a file.

    Args:
        environment: what is changed.
        note: file into which the process writes its id before. Where it exists, no further process gets a signal.
        file: pattern of the file's name.
        times: how often the process replaces such files before.
        sent: to the process; SIGKILL to its whole process group.
    """
    interruption = {"note": str(note), "file": file, "times": times, "signal": sent}
    return {
        **environment,
        "PATH": f"{FOLDER}{os.pathsep}{environment['PATH']}",
        "INTERRUPTED_PYTHON": sys.executable,
        "INTERRUPTION": json.dumps(interruption),
    }


def run_killed(
    command: Sequence[str | Path], *, file: str, times: int = 1, folder: Path, environment: Mapping[str, str]
) -> None:
    """Run a command that is killed with all its children, see `interrupting`; it fails where it comes to its end."""
    with tempfile.TemporaryDirectory() as aside:
        result = subprocess.run(
            list(map(str, command)),
            cwd=folder,
            env=interrupting(environment, Path(aside) / "note", file, times, signal.SIGKILL),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            start_new_session=True,
            timeout=PATIENCE_S,
        )
    assert result.returncode == -signal.SIGKILL, result.stdout


def is_stopped(note: Path) -> bool:
    """Return whether a process that gets SIGSTOP, see `interrupting`, has stopped."""
    if not note.exists() or not note.read_text():
        return False
    state = Path(f"/proc/{interrupted(note)}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"


def interrupted(note: Path) -> int:
    """Return the id of the process that got a signal, see `interrupting`."""
    return int(note.read_text())
