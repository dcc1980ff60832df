"""Jobs of an earlier run in the queue stop a new run, and no others do."""

from __future__ import annotations

import pytest

from pipeline.config.preflight import check_queue
from pipeline.errors import UserError


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A `squeue` that prints a given text."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")

    def answer(text: str, status: int = 0) -> None:
        tool = tools / "squeue"
        tool.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        tool.chmod(0o755)

    return answer


def test_jobs_of_this_folder_stop_a_run(queue, tmp_path):
    here = tmp_path / "a project"
    here.mkdir()
    queue(
        f"7|RUNNING|rule_train_wildcards_brainsr|{here}\n"
        f"8|PENDING|rule_tune|{here}\n"
        f"9|RUNNING|rule_tune|{here}er\n"
        f"10|RUNNING|(null)|{here}"
    )
    with pytest.raises(UserError) as caught:
        check_queue(here)
    message = str(caught.value)
    assert "  7 rule_train_wildcards_brainsr (RUNNING)\n  8 rule_tune (PENDING)\nWait" in message
    assert "scancel 7 8\n" in message


def test_a_queue_that_does_not_answer_stops_nothing(queue, tmp_path):
    queue("", status=1)
    check_queue(tmp_path)
