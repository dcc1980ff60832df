"""Jobs that an earlier run left in the queue are found, and no others."""

from __future__ import annotations

import pytest

from pipeline.config.leftovers import LeftOver, left_over_jobs, message_on


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A `squeue` that prints what it is told."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")

    def answer(text: str, status: int = 0) -> None:
        tool = tools / "squeue"
        tool.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        tool.chmod(0o755)

    return answer


def test_jobs_of_this_folder_are_left_over(queue, tmp_path):
    here = tmp_path / "a project"
    here.mkdir()
    queue(
        f"7|RUNNING|rule_train_wildcards_brainsr|{here}\n"
        f"8|PENDING|rule_tune|{here}\n"
        f"9|RUNNING|rule_tune|{here}er\n"
        f"10|RUNNING|(null)|{here}"
    )
    found = left_over_jobs(here)
    assert found == [LeftOver("7", "RUNNING", "rule_train_wildcards_brainsr"), LeftOver("8", "PENDING", "rule_tune")]
    assert "scancel 7 8\n" in message_on(found)


def test_a_queue_that_does_not_answer_is_none(queue, tmp_path):
    queue("", status=1)
    assert left_over_jobs(tmp_path) == []
