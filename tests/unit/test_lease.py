"""Two trainers never work in one folder: on one machine, on several, and on disks without locks."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import time
from threading import Event, Thread

import filelock
import pytest

from pipeline.errors import UserError
from pipeline.training import lease as leases
from pipeline.training.lease import lease
from tests.helpers import CHECKOUT

BEAT_S = 0.1


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", BEAT_S)


def note_of_another_machine(folder, beat: int) -> None:
    note = {"who": "process 7 on node3, Slurm job 12", "host": "node3", "beat": beat}
    (folder / "lease.json").write_text(json.dumps(note))


def test_the_lease_is_held_and_given_back(tmp_path):
    with lease(tmp_path):
        with pytest.raises(UserError, match=r"another training is writing here \(process \d+ on "), lease(tmp_path):
            pass
        assert (tmp_path / "lease.json").exists()
    assert not (tmp_path / "lease.json").exists()
    with lease(tmp_path):
        pass


def test_the_job_is_named_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with lease(tmp_path), pytest.raises(UserError, match="Slurm job 4711"), lease(tmp_path):
        pass


def test_a_killed_holder_on_this_machine_is_gone_at_once(tmp_path):
    holding = "import sys, time, pathlib; from pipeline.training.lease import lease\n"
    holding += "with lease(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", holding, tmp_path], cwd=CHECKOUT, stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(UserError, match=f"process {holder.pid} on "), lease(tmp_path):
        pass
    holder.kill()
    holder.wait()
    began = time.monotonic()
    with lease(tmp_path):
        assert time.monotonic() - began < leases.PATIENCE_BEATS * BEAT_S


def test_a_silent_note_of_another_machine_is_taken_over(tmp_path):
    note_of_another_machine(tmp_path, 5)
    began = time.monotonic()
    with lease(tmp_path):
        assert time.monotonic() - began >= leases.PATIENCE_BEATS * BEAT_S


def test_a_living_holder_on_a_machine_whose_locks_are_not_seen_here_keeps_others_out(tmp_path):
    note_of_another_machine(tmp_path, 0)
    done = Event()

    def live() -> None:
        beat = 0
        while not done.wait(BEAT_S):
            beat += 1
            note_of_another_machine(tmp_path, beat)

    alive = Thread(target=live)
    alive.start()
    try:
        with pytest.raises(UserError, match="process 7 on node3, Slurm job 12"), lease(tmp_path):
            pass
    finally:
        done.set()
        alive.join()


def test_without_locks_the_note_keeps_others_out(tmp_path, monkeypatch, caplog):
    def refuse(_descriptor):
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(filelock._unix, "lock_fd_nonblocking", refuse)
    with lease(tmp_path), pytest.raises(UserError, match="another training"), lease(tmp_path):
        pass
    assert "this disk has no file locks" in caplog.text
    with lease(tmp_path):
        pass


def test_a_folder_that_was_removed_is_not_made_anew(tmp_path):
    folder = tmp_path / "work"
    with lease(folder):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        time.sleep(3 * BEAT_S)
    assert not folder.exists()
