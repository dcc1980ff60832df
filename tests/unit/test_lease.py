"""Leases exclude other trainings on one machine, on several, and on file systems without locks."""

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


def heartbeat_of_another_machine(folder, beat: int) -> None:
    heartbeat = {"who": "process 7 on node3, Slurm job 12", "host": "node3", "beat": beat}
    (folder / "lease.json").write_text(json.dumps(heartbeat))


def test_the_lease_is_exclusive_and_released(tmp_path):
    with lease(tmp_path):
        with pytest.raises(UserError, match=r"another training is writing here \(process \d+ on "), lease(tmp_path):
            pass
        assert (tmp_path / "lease.json").exists()
    assert not (tmp_path / "lease.json").exists()
    with lease(tmp_path):
        pass


def test_the_slurm_job_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with lease(tmp_path), pytest.raises(UserError, match="Slurm job 4711"), lease(tmp_path):
        pass


def test_the_lease_of_a_killed_process_is_released_immediately(tmp_path):
    script = "import sys, time, pathlib; from pipeline.training.lease import lease\n"
    script += "with lease(pathlib.Path(sys.argv[1])):\n    print('leased', flush=True)\n    time.sleep(60)"
    owner = subprocess.Popen([sys.executable, "-c", script, tmp_path], cwd=CHECKOUT, stdout=subprocess.PIPE)
    assert owner.stdout
    assert owner.stdout.readline() == b"leased\n"
    with pytest.raises(UserError, match=f"process {owner.pid} on "), lease(tmp_path):
        pass
    owner.kill()
    owner.wait()
    began = time.monotonic()
    with lease(tmp_path):
        assert time.monotonic() - began < leases.MAX_MISSED_BEATS * BEAT_S


def test_a_stale_heartbeat_of_another_machine_is_ignored(tmp_path):
    heartbeat_of_another_machine(tmp_path, 5)
    began = time.monotonic()
    with lease(tmp_path):
        assert time.monotonic() - began >= leases.MAX_MISSED_BEATS * BEAT_S


def test_a_renewed_heartbeat_of_another_machine_excludes_others(tmp_path):
    heartbeat_of_another_machine(tmp_path, 0)
    done = Event()

    def live() -> None:
        beat = 0
        while not done.wait(BEAT_S):
            beat += 1
            heartbeat_of_another_machine(tmp_path, beat)

    alive = Thread(target=live)
    alive.start()
    try:
        with pytest.raises(UserError, match="process 7 on node3, Slurm job 12"), lease(tmp_path):
            pass
    finally:
        done.set()
        alive.join()


def test_without_file_locks_the_heartbeat_excludes_others(tmp_path, monkeypatch, caplog):
    def refuse(_descriptor):
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(filelock._unix, "lock_fd_nonblocking", refuse)
    with lease(tmp_path), pytest.raises(UserError, match="another training"), lease(tmp_path):
        pass
    assert "this file system has no file locks" in caplog.text
    with lease(tmp_path):
        pass


def test_a_removed_folder_is_not_created_again(tmp_path):
    folder = tmp_path / "work"
    with lease(folder):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        time.sleep(3 * BEAT_S)
    assert not folder.exists()
