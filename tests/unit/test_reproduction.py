"""Repeating a run: the folder that is prepared, what has changed since, and what of two runs is the same."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pipeline.config.run import Run
from pipeline.config.sources import LocalSource
from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.provenance.crate import crate, file_entity
from pipeline.provenance.environment import GitState
from pipeline.provenance.outputs import ADDED, DIFFERENT, IDENTICAL, MISSING, compare, counts
from pipeline.provenance.record import Provenance, SourceRecord, config_to_json, read_provenance
from pipeline.provenance.reproduction import changes_since, differences, prepare_folder
from tests.helpers import run_command, the_message
from tests.provenance import provenance

CONFIG = {
    "datasets": [{"kind": "glob", "pattern": "*.nii.gz", "subject": "sub-.."}],
    "sources": {
        "mine": {"kind": "local", "path": "my data/one.nii.gz"},
        "theirs": {"kind": "local", "path": "../two.nii.gz"},
        "far": {"kind": "http", "url": "https://example.org/far.nii", "sha256": None},
    },
}
SOURCE = SourceRecord(
    name="mine",
    kind="local",
    path="my data/one.nii.gz",
    licence="CC0",
    sha256="b" * 64,
    downloaded_sha256="b" * 64,
    size_bytes=1,
    network=None,
    used_for=("one",),
)
RECORD = provenance(CONFIG, brainsr="0.1.0", sources=(SOURCE,))


def write_run(project: Path, record: Provenance = RECORD) -> Path:
    """Write some outputs of a run and return its folder."""
    results = project / "results/small"
    files = {
        "models/brainsr/generator.safetensors": "weights",
        "models/brainsr/history.csv": "step,loss,seconds\n3,0.5,0.31\n6,0.25,0.62\n",
        "sr/one.nii.gz": "voxels",
        "metrics/volumes.csv": "volume,value\none,1\n",
        "metrics/parts/one.csv": "on the way",
        "reports/index.html": "a clock",
        "logs/train.log": "a clock",
    }
    for name, text in files.items():
        path = results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    record.write(results / "provenance.json")
    return results


def local_path(config: Run, source: str) -> str:
    found = config.sources[source]
    assert isinstance(found, LocalSource)
    return found.path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "a/project"
    for path in (folder / "my data/one.nii.gz", folder / "resources/mine/one.nii.gz", tmp_path / "a/two.nii.gz"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    os.utime(folder / "my data", ns=(10**18, 10**18))
    write_run(folder)
    return folder


def test_a_repetition_finds_downloads_and_own_files_where_the_run_found_them(project, tmp_path):
    again = tmp_path / "again"
    config = prepare_folder(project / "results/small", again)
    assert read_json(again / "config.json") == config_to_json(config)
    assert config.datasets == ()
    assert (again / "resources/mine/one.nii.gz").read_text() == "x"
    assert (again / local_path(config, "mine")).read_text() == "x"
    assert local_path(config, "mine") == "my data/one.nii.gz"
    assert Path(local_path(config, "theirs")).read_text() == "x"
    # A link that is younger than its file would make Snakemake fetch the file again, for the run that is repeated too.
    assert (again / "my data").lstat().st_mtime_ns == 10**18


def test_a_repetition_can_be_started_twice_but_not_over_something_else(project, tmp_path):
    again = tmp_path / "again"
    assert prepare_folder(project / "results/small", again) == prepare_folder(project / "results/small", again)
    write_json(again / "config.json", {"run": "other"})
    with pytest.raises(UserError, match="not empty and not a repetition"):
        prepare_folder(project / "results/small", again)


def compared(project: Path, again: Path) -> subprocess.CompletedProcess[str]:
    """Compare two runs, given by the project of the first and the results of the second."""
    folder = again.parents[1]
    return run_command("reproduce", project / "results/small", "--into", folder, "--compare-only")


def test_changes_since_a_run_are_listed():
    changes = "\n".join(changes_since(RECORD.model_copy(update={"packages": {"torch": "0.1"}})))
    assert f"git commit: {'a' * 40} then" in changes
    assert "torch: 0.1 then" in changes


def test_a_run_without_a_record_is_refused(tmp_path):
    message = the_message(run_command("reproduce", tmp_path, "--into", tmp_path / "again"))
    assert "provenance.json is missing" in message


def test_records_differ_in_code_packages_machine_and_data():
    assert list(differences(RECORD, RECORD)) == []
    other = RECORD.model_copy(
        update={
            "git": GitState(commit="c" * 40, changed=True),
            "packages": {"numpy": "1.0"},
            "platform": RECORD.platform.model_copy(update={"python": "3.12.0"}),
            "sources": (SOURCE.model_copy(update={"sha256": "d" * 64}),),
        }
    )
    told = "\n".join(differences(RECORD, other))
    for part in (
        f"git commit: {'a' * 40} then, {'c' * 40} now",
        "uncommitted changes to the code now",
        "numpy: 2.4.6 then, 1.0 now",
        "torch: 2.13.0 then, not installed now",
        "python of the machine: 3.11.7 then, 3.12.0 now",
        f"data of mine: SHA-256 {'b' * 64} then, {'d' * 64} now",
    ):
        assert part in told
    assert len(told.splitlines()) == 6


def test_two_runs_are_the_same_but_for_clocks_and_what_is_on_the_way(project, tmp_path):
    again = write_run(tmp_path / "again")
    (again / "models/brainsr/history.csv").write_text("step,loss,seconds\n3,0.5,9.99\n6,0.25,19\n")
    for name in ("reports/index.html", "logs/train.log", "metrics/parts/one.csv"):
        (again / name).write_text("another")
    result = compared(project, again)
    assert result.returncode == 0, result.stderr
    assert "All 4 files are identical" in result.stdout


def test_one_changed_byte_one_missing_and_one_new_file_are_found(project, tmp_path):
    again = write_run(tmp_path / "again")
    (again / "sr/one.nii.gz").write_text("voxelz")
    (again / "models/brainsr/history.csv").write_text("step,loss,seconds\n3,0.5,0.31\n6,0.75,0.62\n")
    (again / "metrics/volumes.csv").unlink()
    (again / "metrics/more.csv").write_text("x")
    found = {one.path: one.verdict for one in compare(project / "results/small", again)}
    assert found == {
        "models/brainsr/generator.safetensors": IDENTICAL,
        "models/brainsr/history.csv": DIFFERENT,
        "sr/one.nii.gz": DIFFERENT,
        "metrics/volumes.csv": MISSING,
        "metrics/more.csv": ADDED,
    }
    assert counts(compare(project / "results/small", again)).loc["networks"].tolist() == [1, 1, 0, 0]
    result = compared(project, again)
    assert "4 of 5 files differ" in the_message(result)
    assert "different: sr/one.nii.gz" in result.stdout


def test_a_folder_without_results_is_no_equal_run(tmp_path):
    for name in ("one", "other"):
        RECORD.write(tmp_path / name / "results/small/provenance.json")
    message = the_message(compared(tmp_path / "one", tmp_path / "other/results/small"))
    assert "Has the run finished?" in message


def test_a_crate_names_what_went_in_and_what_came_out():
    files = [file_entity("config.json", "configuration", 2, "e" * 64), file_entity("sr/a b.nii.gz", "sr", 9, "f" * 64)]
    graph = {entity["@id"]: entity for entity in crate(RECORD, files, ["logs/"], "2026-01-01T00:00:00+00:00")["@graph"]}
    run = graph["#run"]
    assert [one["@id"] for one in run["object"]] == ["config.json", "#source-mine"]
    assert [one["@id"] for one in run["result"]] == ["sr/a%20b.nii.gz", "logs/"]
    assert graph["sr/a%20b.nii.gz"]["sha256"] == "f" * 64
    assert graph["#source-mine"]["license"] == "CC0" and "citation" not in graph["#source-mine"]
    assert "mine: CC0" in graph["#licences"]["description"]
    assert graph["#package-numpy"]["softwareVersion"] == "2.4.6"
    assert "a" * 40 in graph["#brainsr"]["softwareVersion"]
    mentioned = {one["@id"] for one in graph["./"]["hasPart"]}
    assert mentioned == {"config.json", "sr/a%20b.nii.gz", "logs/"}


def test_the_record_of_another_version_is_refused_with_its_first_mistake(project):
    path = project / "results/small/provenance.json"
    assert read_provenance(path) == RECORD
    values = read_json(path)
    values["config"]["infer"]["deliverable"] = "bicubic"
    write_json(path, values)
    with pytest.raises(UserError, match=r"provenance\.json.*config\.infer\.deliverable: unknown key"):
        read_provenance(path)
