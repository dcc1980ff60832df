"""Run stages without loading everything anew for each: as forks of one process that has loaded it.

`python -m tests.faults.stage_server PLACE [COMMAND ...]` listens in the folder PLACE, and runs a command meanwhile. In
PLACE lies a program called `python`, which the command finds first: `python -m pipeline.steps STEP ...` is handed to
the server and takes milliseconds to start. The stage runs through the same function as the command line, as a process
of its own that can be killed; an order may say at which change of a file it kills itself.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.steps._framework import main, names  # first, since it sets how threads wait

FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.link", "os.symlink")
MAX_BYTES = 1 << 20
BROKEN = 70
"""The exit status of a stage that raised what it should not."""

CLIENT = """#!{python} -IS
import json, os, socket, sys
if sys.argv[1:3] != ["-m", "pipeline.steps"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
words = []
for word in sys.argv[3:]:
    passed = word.startswith("@/dev/fd/")  # open in this process alone
    words += filter(None, open(word[1:]).read().splitlines()) if passed else [word]
order = dict(folder=os.getcwd(), words=words, threads=int(os.environ.get("OMP_NUM_THREADS", "1")))
server = socket.socket(socket.AF_UNIX)
server.connect({place!r})
socket.send_fds(server, [json.dumps(order).encode()], [1, 2])
status = server.recv(16)
sys.exit(int(json.loads(status)["status"]) % 256 if status else {broken})
"""


class Tripwire:
    """Counts what a process changes below a folder, and kills it as it begins the change of a given number.

    Args:
        folder: absolute.
        kill_at: the first is 1; 0 counts only.
    """

    def __init__(self, folder: str, kill_at: int) -> None:
        self.count = 0
        self._folder = folder
        self._kill_at = kill_at

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at an event that Python audits, see `sys.addaudithook`."""
        changing = event in CHANGES or (event == "open" and arguments[2] and arguments[2] & FOR_WRITING)
        if not changing or not isinstance(arguments[0], str | os.PathLike):
            return
        if not str(Path(arguments[0]).absolute()).startswith(self._folder):
            return
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def run_stage(order: Mapping[str, Any], outputs: list[int]) -> int:
    """Run a step in this process and return its exit status; the number of its changes is written to a file."""
    import torch

    os.chdir(order["folder"])
    for standard, given in zip((1, 2), outputs, strict=True):
        os.dup2(given, standard)
    torch.set_num_threads(order["threads"])
    wire = Tripwire(order["folder"], order.get("kill_at", 0))
    sys.addaudithook(wire)
    status: Any = BROKEN
    try:
        status = main(order["words"])
    except SystemExit as error:
        status = error.code
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    if "changes" in order:
        Path(order["changes"]).write_text(str(wire.count))
    return status if isinstance(status, int) else BROKEN


def mind(connection: socket.socket, place: Path) -> None:
    """Run the stage that somebody orders, and tells them how it ended; PLACE/jobs names the process meanwhile.

    PLACE/orders keeps all orders, one a line.
    """
    message, outputs, *_ = socket.recv_fds(connection, MAX_BYTES, 2)
    with (place / "orders").open("ab", buffering=0) as orders:
        orders.write(message + b"\n")
    child = os.fork()
    if child == 0:
        os._exit(run_stage(json.loads(message), outputs))
    note = place / "jobs" / str(child)
    note.touch()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    note.unlink()
    with suppress(BrokenPipeError):
        connection.sendall(json.dumps({"status": status}).encode())


def serve(place: Path, command: list[str]) -> int:
    """Serve until a command has ended, or for ever where there is none; return the command's exit status."""
    for step in names():
        importlib.import_module(f"pipeline.steps.{step}")
    client = place / "python"
    client.write_text(CLIENT.format(python=sys.executable, place=str(place / "socket"), broken=BROKEN))
    client.chmod(0o755)
    (place / "jobs").mkdir(exist_ok=True)
    (place / "socket").unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place / "socket"))
    listener.listen(64)
    listener.settimeout(0.1)
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    running = (
        subprocess.Popen(command, env={**os.environ, "PATH": f"{place}:{os.environ['PATH']}"}) if command else None
    )
    minders: list[int] = []
    while running is None or running.poll() is None:
        minders = [process for process in minders if os.waitpid(process, os.WNOHANG) == (0, 0)]
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        connection.setblocking(True)
        minders.append(os.fork())
        if minders[-1] == 0:
            mind(connection, place)
            os._exit(0)
        connection.close()
    return running.returncode


if __name__ == "__main__":
    sys.exit(serve(Path(sys.argv[1]), sys.argv[2:]))
