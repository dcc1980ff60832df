"""A run without a test volume: networks are trained, and the pages say that nothing was tested."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import yaml

from pipeline.reporting.terminal import run_text
from tests.faults.tiny import Ended, make_tiny, run, serving
from tests.workflow.project import jobs, snakemake

pytestmark = pytest.mark.long
WARNING = "warning: no volume has the split test or test_within_subject"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    folder = make_tiny(tmp_path_factory.mktemp("untested"))
    config = folder / "small.yaml"
    values = yaml.safe_load(config.read_text())
    values["volumes"] = [volume for volume in values["volumes"] if volume["split"] != "test"]
    values["run"] = "untested"
    values["recipes"]["rrdb_l1"]["steps"] = 2
    config.write_text(yaml.safe_dump(values))
    with serving() as server:
        return folder, run(server, folder)


def test_it_ends_well_and_warns(ended: tuple[Path, Ended]) -> None:
    folder, result = ended
    assert result.status == 0, result.output
    assert WARNING in result.output and "held-out subjects" in result.output
    made = {str(path.relative_to(folder / "results/untested")) for path in (folder / "results/untested").rglob("*")}
    for file in ("generator.safetensors", "model_card.md", "history.csv"):
        assert f"models/rrdb_l1/{file}" in made
    assert {"reports/index.html", "reports/training.html", "reports/resources.html", "provenance.json"} <= made
    assert not [name for name in made if "inserted" in name]


def test_no_table_is_empty_and_none_speaks_of_a_test(ended: tuple[Path, Ended]) -> None:
    folder, _ = ended
    for path in sorted((folder / "results/untested/metrics").glob("*.csv")):
        rows = list(csv.DictReader(path.open(encoding="utf-8")))
        assert rows, path
        assert {row.get("split", "val") for row in rows} == {"val"}, path


def test_the_printed_table_says_so_too(ended: tuple[Path, Ended]) -> None:
    folder, _ = ended
    assert run_text(folder / "results/untested").startswith("Nothing was tested: no volume has the split test")


def test_the_index_page_says_that_nothing_was_tested(ended: tuple[Path, Ended]) -> None:
    folder, _ = ended
    page = (folder / "results/untested/reports/index.html").read_text(encoding="utf-8")
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "Nothing was tested No volume of this run has the split test" in text
    assert "Validation: used to choose settings, no evidence" in text
    for claim in ("What went wrong", "Conclusions", "Volume by volume", "Best mean over", "Inserted structures"):
        assert claim not in text
    links = re.findall(r'href="#([\w-]+)"', page)
    assert [link for link in links if f'id="{link}"' not in page] == []


def test_targets_that_need_test_volumes_say_so(ended: tuple[Path, Ended]) -> None:
    folder, _ = ended
    for target in ("mismatch", "reading"):
        result = snakemake(folder, target, "--configfile", folder / "small.yaml", "--dry-run")
        assert result.returncode != 0
        assert "this target requires test volumes; no volume has the split test" in result.stdout + result.stderr


def test_a_test_volume_that_comes_later_trains_nothing_again(ended: tuple[Path, Ended]) -> None:
    folder, _ = ended
    values = yaml.safe_load((folder / "small.yaml").read_text())
    values["volumes"].append({"id": "later", "subject": "other", "split": "test", "source": "other"})
    (folder / "later.yaml").write_text(yaml.safe_dump(values))
    planned = jobs(snakemake(folder, "--configfile", folder / "later.yaml", "--dry-run"))
    assert "train" not in planned and planned["insert"] == 1 and planned["detection"] == 1
