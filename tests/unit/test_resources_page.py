"""Where time and memory went: benchmarks are read, summed by rule, and told on a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.config.sections import Report
from pipeline.errors import UserError
from pipeline.reporting.numbers import format_duration, format_memory
from pipeline.reporting.pages.resources import resources_page
from pipeline.reporting.resource_usage import Job, read_jobs, usage_by_rule
from pipeline.reporting.sections.longest_jobs import MAX_JOBS
from pipeline.reporting.sections.usage_by_rule import resource_totals
from pipeline.steps.__main__ import main
from tests.helpers import CHECKOUT, Tags
from tests.provenance import provenance

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
RECORD = provenance()


def write_benchmarks(folder: Path) -> Path:
    """Write what Snakemake measured of four jobs of three rules; of the shortest it measured but the time."""
    for name, seconds, memory, cpu in (
        ("train/brainsr", "600.0", "2048.0", "1100.0"),
        ("extract/one", "3.0", "100.0", "2.5"),
        ("extract/other", "7.5", "300.0", "6.0"),
        ("tune", "0.2", "NA", "NA"),
    ):
        path = folder / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{HEADER}{seconds}\t0:00:00\t{memory}\t1\t1\t1\t0\t0\t90\t{cpu}\n")
    return folder


def test_jobs_are_summed_by_rule_the_longest_first(tmp_path):
    usages = usage_by_rule(read_jobs([write_benchmarks(tmp_path)]))
    assert [usage.rule for usage in usages] == ["train", "extract", "tune"]
    extract = usages[1]
    assert (extract.jobs, extract.seconds, extract.cpu_seconds, extract.memory_mb) == (2, 10.5, 8.5, 300.0)
    assert extract.longest.name == "other"


def test_what_was_not_measured_is_no_zero(tmp_path):
    tune = usage_by_rule(read_jobs([write_benchmarks(tmp_path)]))[2]
    assert tune.cpu_seconds != tune.cpu_seconds and tune.memory_mb != tune.memory_mb
    assert resource_totals([Job("tune", "", 0.2, float("nan"), float("nan"))]) == [
        ("Jobs", "1"),
        ("Total run time", "0.2 s"),
    ]


def test_the_page_names_the_costliest_rule_and_job(tmp_path):
    page = resources_page(read_jobs([write_benchmarks(tmp_path)]), RECORD, Report(title="<small>"))
    tags = Tags(page)
    assert not tags.open
    texts = [attributes["alt"] or "" for tag, attributes in tags.found if tag == "img"]
    assert "train 10 min 0 s; extract 10.5 s; tune 0.2 s" in texts[0]
    assert "train 2.0 GiB; extract 300 MiB" in texts[1] and "tune" not in texts[1]
    assert "2.0 GiB (train brainsr)" in page
    assert "98.2 %" in page  # 600 of 610.7 s
    assert "&lt;small&gt;" in page and "<small>" not in page


def test_many_jobs_are_not_all_listed():
    jobs = [Job("extract", f"volume-{number:05}", 1.0 + number, 1.0, 10.0) for number in range(1000)]
    page = resources_page(jobs, RECORD, Report())
    assert len(page) < 200_000
    assert len(re.findall(r"volume-\d+", page)) <= 2 * MAX_JOBS + 2


def test_a_run_without_benchmarks_has_a_page_too(tmp_path):
    record = tmp_path / "provenance.json"
    RECORD.write(record)
    command = ["report_resources", "--benchmarks", str(tmp_path / "absent"), "--provenance", str(record)]
    assert main([*command, "--output", str(tmp_path / "page.html")]) == 0
    assert "No job of this run was measured" in (tmp_path / "page.html").read_text()


def test_a_damaged_benchmark_is_named(tmp_path):
    path = write_benchmarks(tmp_path) / "tune.tsv"
    path.write_text("rubbish\n1\n")
    with pytest.raises(UserError, match=re.escape(str(path))):
        read_jobs([tmp_path])


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.25, "0.2 s"), (59.4, "59.4 s"), (125, "2 min 5 s"), (3780, "1 h 3 min")]
)
def test_times_are_written_in_words(seconds, words):
    assert format_duration(seconds) == words


@pytest.mark.parametrize(("memory", "words"), [(12.4, "12 MiB"), (1536.0, "1.5 GiB")])
def test_memory_is_written_in_words(memory, words):
    assert format_memory(memory) == words


def test_benchmarks_of_every_rule_lie_under_its_name():
    """The page takes the first part of a benchmark's path for the rule."""
    found = {}
    for path in (CHECKOUT / "workflow/rules").glob("*.smk"):
        for rule in re.split(r"^ *(?=(?:use )?rule[ :])", path.read_text(), flags=re.MULTILINE)[1:]:
            heading = re.match(
                r"rule (\w+):|use rule \w+ as (\w+) with:|rule:\s+name:\s+f\"([\w{}]+)_\{SHARD\}\"", rule
            )
            place = re.search(r"benchmark:\s+f?\"(?:\{RESULTS\}|resources)/benchmarks/([^/.\"]+)", rule)
            assert heading
            if place:
                found[heading[1] or heading[2] or heading[3]] = place[1]
    assert len(found) > 30
    assert {rule: place for rule, place in found.items() if rule != place} == {}
