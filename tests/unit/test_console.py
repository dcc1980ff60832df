"""Signals that ask a command to end: exit status, message, and what is left on the disk."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands import _snakemake
from pipeline.console import exit_status
from pipeline.files import replacing

STATUSES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(params=STATUSES, ids=lambda number: number.name)
def sent(request: Any) -> Iterator[signal.Signals]:
    """A signal that has its default effect before and after the test."""
    before = signal.signal(request.param, signal.SIG_DFL)
    yield request.param
    assert signal.getsignal(request.param) is signal.SIG_DFL
    signal.signal(request.param, before)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_signal_ends_a_command_with_one_message_and_no_partial_file(
    sent: signal.Signals, replaced: bool, tmp_path: Path, capsys: Any
) -> None:
    def command() -> None:
        with replacing(tmp_path / "sr.nii.gz"):
            try:
                signal.raise_signal(sent)
            except KeyboardInterrupt:
                if replaced:  # as an interrupted import of numpy does
                    raise RecursionError from None
                raise

    assert exit_status(command, "brainsr apply") == STATUSES[sent]
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == "interrupted; run the same command again to continue\n"


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert exit_status(lambda: signal.raise_signal(signal.SIGHUP), "brainsr apply") == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_end_of_a_command_ends_its_snakemake(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    script = f"""
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(tmp_path / "ended")!r}).touch(), sys.exit()))
pathlib.Path({str(tmp_path / "started")!r}).touch()
time.sleep(60)
"""
    monkeypatch.setattr(_snakemake, "snakemake_command", lambda *_: [sys.executable, "-c", script])

    def end() -> None:
        while not (tmp_path / "started").exists():
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    assert exit_status(lambda: _snakemake.run_snakemake([]), "brainsr bids") == STATUSES[signal.SIGTERM]
    assert (tmp_path / "ended").exists()
