"""The page on a run that failed, from logs as Snakemake itself writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.reporting.pages.failures import write_failure_page
from pipeline.reporting.snakemake_log import MAX_LOG_LINES, error_message, last_lines, parse_run_log
from tests.helpers import Tags

HOSTILE = '<script>alert("pwned")</script>\'"&'
LONG = "\u202e\u2603" + "n" * 300
HEAD = """
SNAKEMAKE
=========
  Date: 2026-11-25 10:12:47
  Command: snakemake --cores 2

Job 8: Extracting head-test
Reason: Missing output files
Job 3: Fetching other
Finished jobid: 3 (Rule: download)
1 of 38 steps (3%) done
"""


def failed(rule: str, job: int, output: str, log: str) -> dict[str, Any]:
    """Return what Snakemake knows about a failed job."""
    return {
        **{"rule_name": rule, "rule_msg": None, "msg": "x", "jobid": job, "input": [], "output": [output]},
        **{"log": [log], "conda_env": None, "shellcmd": "false", "aux": {}},
    }


def written(**job: Any) -> str:
    """Return a failed job as Snakemake writes it into its log."""
    from snakemake.logging import DefaultFormatter

    return "\n".join(DefaultFormatter(show_failed_logs=True)._format_job_error(job))


def test_failed_steps_are_named_with_their_outputs_and_logs(tmp_path):
    own = tmp_path / "extract.log"
    own.write_text("error: other.nii.gz: no image\nError in rule invented:\n    jobid: 99\n")
    log = parse_run_log(HEAD + written(**failed("extract", 8, "a.safetensors", str(own))) + "\nFinished jobid: 3\n")
    (step,) = log.failed
    assert (step.rule, step.title) == ("extract", "Extracting head-test")
    assert step.outputs == ("a.safetensors",)
    assert step.logs == (str(own),)
    assert log.date == "2026-11-25 10:12:47"
    assert log.command == "snakemake --cores 2"
    assert log.done == (1, 38)
    assert log.finished["download"] == 1


def test_a_step_that_succeeded_when_it_was_tried_again_did_not_fail():
    again = written(**failed("extract", 8, "a", "no.log")) + "\nFinished jobid: 8 (Rule: extract)\n"
    assert parse_run_log(HEAD + again).failed == ()


def test_steps_that_a_cluster_ran_together_are_found():
    from snakemake.logging import DefaultFormatter

    jobs = [failed("extract", 8, "a", "a.log"), failed("degrade", 9, "b", "b.log")]
    group = {"msg": None, "aux_logs": [], "job_error_info": jobs}
    text = "\n".join(["Error in group abc:", *DefaultFormatter()._format_group_error(group)])
    found = parse_run_log(HEAD + text).failed
    assert [(step.rule, step.title, step.logs) for step in found] == [
        ("extract", "Extracting head-test", ("a.log",)),
        ("degrade", "degrade", ("b.log",)),
    ]


def test_a_log_of_nothing_names_nothing():
    log = parse_run_log("")
    assert (log.failed, log.done, log.stopped) == ((), None, False)
    assert parse_run_log("Terminating processes on user request, this might take some time.").stopped


def test_the_end_of_a_log_is_shown_and_its_message_found(tmp_path):
    path = tmp_path / "a.log"
    path.write_bytes(b"\xff\n" + b"line\n" * 100 + b" 1%|\r 50%|\rdone\nerror: no room\nMake some.\n")
    lines = last_lines(path)
    assert len(lines) == MAX_LOG_LINES
    assert lines[-3:] == ["done", "error: no room", "Make some."]
    assert error_message(lines) == "no room\nMake some."
    assert error_message(["Traceback (most recent call last):", "ValueError: x"]) == "ValueError: x"
    assert error_message(last_lines(tmp_path / "absent.log")) == ""


def page_of(tmp_path: Path, log: str, title: str = "BrainSR") -> str:
    (tmp_path / "snakemake.log").write_text(log, encoding="utf-8")
    output = tmp_path / "results/demo/reports/failures.html"
    write_failure_page([tmp_path / "snakemake.log"], tmp_path / "results/demo", title, output)
    return output.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [HOSTILE, LONG])
def test_whatever_stands_in_logs_is_shown_as_text(tmp_path, name):
    own = tmp_path / "results/demo/logs/extract.log"
    own.parent.mkdir(parents=True)
    own.write_text(f"error: {name}\n", encoding="utf-8")
    log = HEAD.replace("head-test", name) + written(**failed("extract", 8, f"{name}.nii", str(own)))
    page = page_of(tmp_path, log, "<i>title</i>")
    tags = Tags(page)
    assert tags.open == []
    assert HOSTILE not in page
    assert "<i>" not in page
    assert (LONG in page) == (name == LONG)
    assert sum(tag == "script" for tag, _ in tags.found) == 1
    links = {attributes["href"] for tag, attributes in tags.found if tag == "a"}
    assert {"#failed", "#failure-1", "#next", "#finished"} <= links


def test_the_page_says_what_is_finished_and_what_to_do(tmp_path):
    run = tmp_path / "results/demo"
    for name in ("sr/head.nii.gz", "metrics/parts/head.csv", "reports/index.html", "reports/failures.html"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("")
    page = page_of(tmp_path, HEAD + written(**failed("extract", 8, "a", "a.log")))
    for part in ("One step failed", "1 of 38 steps", "sr/head.nii.gz", 'href="index.html"', "snakemake --cores 2"):
        assert part in page, part
    assert 'href="failures.html"' not in page
    assert (run / "reports/index.html").read_text() == ""


def test_without_a_named_step_the_logs_of_steps_are_looked_through(tmp_path):
    logs = tmp_path / "results/demo/logs"
    (logs / "train").mkdir(parents=True)
    (logs / "train/esrgan.log").write_text("step 1\nTraceback (most recent call last):\nMemoryError\n")
    (logs / "extract.log").write_text("all is well\n")
    page = page_of(tmp_path, "")
    assert "train/esrgan" in page
    assert "MemoryError" in page
    assert "all is well" not in page
    stopped = page_of(tmp_path, "Terminating processes on user request, this might take some time.")
    assert "The run was stopped before it finished" in stopped
    assert "MemoryError" not in stopped
