"""Steps: their command line, folders that appear when complete, writing in the background, shards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from cyclopts import CycloptsError

from pipeline.config.load import read_run
from pipeline.config.sections import Evaluate
from pipeline.errors import UserError
from pipeline.steps._framework import app_of, names, section
from pipeline.steps._framework import main as run_step
from pipeline.steps._shards import MANIFEST, BackgroundWriter, files_in, files_of, new_folder
from tests.helpers import configuration


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a step."""

    hr: list[Path]
    """References."""
    few: list[Path] = field(default_factory=list)
    """Further files."""
    settings: Annotated[Evaluate, section(Evaluate)] = field(default_factory=Evaluate)
    """Section `evaluate`."""


def parsed(*arguments: str) -> Any:
    found: list[Any] = []
    step = SimpleNamespace(Options=Options, run=found.append, __doc__="Do nothing.")
    app_of("nothing", step)(list(arguments), exit_on_error=False, print_error=False)
    return found[0]


def test_lists_take_several_values_or_none():
    assert parsed("--hr", "a", "b", "--few").hr == [Path("a"), Path("b")]
    assert parsed("--few", "--hr", "a").few == []


def test_a_section_is_read_and_checked():
    assert parsed("--hr", "a", "--settings", '{"confidence": 0.9}').settings.confidence == 0.9
    with pytest.raises(UserError, match=r"evaluate\.confidence"):
        parsed("--hr", "a", "--settings", '{"confidence": 2}')


def test_unknown_and_missing_options_are_refused():
    for arguments in ([], ["--hr", "a", "--hrr", "b"]):
        with pytest.raises(CycloptsError):
            parsed(*arguments)


def test_more_files_than_a_command_line_takes_come_from_a_file(tmp_path):
    folders = [tmp_path / f"folder {number}" for number in range(2000)]
    for folder in folders:
        folder.mkdir()
        (folder / MANIFEST).write_text('{"files": []}')
    (tmp_path / "list").write_text("\n".join(map(str, folders)) + "\n")
    into = [str(tmp_path / "all")] * len(folders)
    output = tmp_path / "published/list.json"
    assert run_step(["publish", "--folders", f"@{tmp_path}/list", "--into", *into, "--output", str(output)]) == 0
    assert output.is_file()


def test_an_option_without_a_value_is_left_out_where_its_file_is_optional(tmp_path, capsys):
    command = ["extract", "--input", str(tmp_path / "absent.nii"), "--output", str(tmp_path / "x.safetensors")]
    entry = '{"id": "head", "subject": "S1", "split": "test", "source": "x"}'
    assert run_step([*command, "--segmentation", "--duplicates", "--volume", entry, "--format"]) == 1
    assert "absent.nii" in capsys.readouterr().err


def test_the_list_of_steps_has_every_purpose(capsys):
    assert run_step(["--help"]) == 0
    listed = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in listed] == names()
    assert all(len(line.split()) > 3 for line in listed)


def test_a_folder_appears_with_its_manifest_when_it_is_complete(tmp_path):
    with new_folder(tmp_path / "made") as folder:
        (folder / "a.nii.gz").write_text("a")
        assert not (tmp_path / "made").exists()
    assert files_in(tmp_path / "made") == [tmp_path / "made/a.nii.gz"]


def test_a_folder_that_fails_leaves_the_earlier_one(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made/earlier.txt").write_text("kept")

    def fail() -> None:
        with new_folder(tmp_path / "made") as folder:
            (folder / "a.nii.gz").write_text("a")
            raise UserError("it is no image.")

    with pytest.raises(UserError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["earlier.txt"]


def test_a_file_of_a_volume_is_found_in_folders_and_lists(tmp_path):
    for name in ("head.nii.gz", "head-2.nii.gz"):
        (tmp_path / name).touch()
    assert files_of("head", [tmp_path]) == [tmp_path / "head.nii.gz"]
    assert files_of("head", [Path("a/head.png"), Path("a/head-2.png")]) == [Path("a/head.png")]
    with pytest.raises(UserError, match="'other'"):
        files_of("other", [tmp_path])


def test_one_result_is_written_while_the_next_is_computed():
    """Each waits for the other: were they done in turn, neither would end."""
    computing, written = Event(), Event()

    def write() -> None:
        assert computing.wait(10)
        written.set()

    with BackgroundWriter() as writer:
        writer.write(write)
        computing.set()
        assert written.wait(10)


def test_an_error_of_the_background_is_raised():
    def write() -> None:
        raise UserError("the disk is full.")

    with pytest.raises(UserError, match="the disk is full"), BackgroundWriter() as writer:
        writer.write(write)


def test_a_volume_keeps_its_shard_when_others_come_or_go():
    volumes = [f"vol-{number}" for number in range(300)]
    whole = read_run(configuration()).sharded(volumes)
    fewer = read_run(configuration()).sharded(volumes[:150])
    assert all(set(ids) <= set(whole[shard]) for shard, ids in fewer.items())
    assert sorted(name for ids in whole.values() for name in ids) == sorted(volumes)
    assert list(whole) == sorted(whole) and max(map(len, whole.values())) < 8, "volumes are spread"
    assert read_run(configuration(shards=1)).sharded(volumes) == {"0": volumes}
