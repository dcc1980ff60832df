"""One process, several volumes: options are taken apart, tables put together, folders appear when they are whole."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import ModuleType

import pytest

from pipeline.config.load import read_run
from pipeline.errors import UserError
from pipeline.steps._cli import ArgumentParser, add_path, add_table
from pipeline.steps._each_volume import run_volumes
from tests.helpers import configuration


def stage(refused: str = "") -> ModuleType:
    """A stage that writes, for a volume, what it was told."""
    module = ModuleType("told")

    def main(arguments: Namespace) -> None:
        if arguments.lr.name == refused:
            raise UserError("it is no image.")
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(f"{arguments.lr} {' '.join(map(str, arguments.predictions))} {arguments.extra}")
        arguments.rows.write_text(f"volume,value\n{arguments.lr},1\n")

    setattr(module, "main", main)  # noqa: B010 - modules made by hand have no attributes that a checker knows
    return module


def run(module: ModuleType, *words: str) -> None:
    parser = ArgumentParser()
    add_path(parser, "--lr", "", each_volume=True)
    add_path(parser, "--predictions", "", many=True, each_volume=True)
    add_path(parser, "--extra", "", required=False, each_volume=True)
    add_path(parser, "--output", "", each_volume=True)
    add_table(parser, "--rows", "")
    parser.add_argument("--whole", type=Path, nargs="*", default=[])
    run_volumes(module, parser, parser.parse_args(words))


def options(folder: Path, *volumes: str) -> list[str]:
    predictions = [f"{method}/{volume}" for volume in volumes for method in ("one", "two")]
    outputs = [f"{folder}/made/{volume}.txt" for volume in volumes]
    given = ["--lr", *volumes, "--predictions", *predictions, "--output", *outputs]
    return [*given, "--rows", f"{folder}/rows.csv", "--whole", f"{folder}/made"]


def test_every_volume_gets_its_own_and_the_tables_become_one(tmp_path):
    run(stage(), *options(tmp_path, "a", "b", "c"))
    made = {path.name: path.read_text() for path in (tmp_path / "made").iterdir()}
    assert made == {f"{name}.txt": f"{name} one/{name} two/{name} None" for name in "abc"}
    assert (tmp_path / "rows.csv").read_text() == "volume,value\na,1\nb,1\nc,1\n"


def test_one_volume_is_no_special_case(tmp_path):
    run(stage(), *options(tmp_path, "a"))
    assert (tmp_path / "made/a.txt").read_text() == "a one/a two/a None"
    assert (tmp_path / "rows.csv").read_text() == "volume,value\na,1\n"


def test_what_a_volume_made_is_written_while_the_next_one_is_computed(tmp_path):
    """Each waits for the other: were they done in turn, neither would end."""
    second_begun, first_written = Event(), Event()
    module = ModuleType("told")

    def main(arguments: Namespace) -> Callable[[], None]:
        if arguments.lr.name == "b":
            second_begun.set()
            assert first_written.wait(10)

        def write() -> None:
            if arguments.lr.name == "a":
                assert second_begun.wait(10)
                first_written.set()
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(arguments.lr.name)
            arguments.rows.write_text(f"volume\n{arguments.lr}\n")
            if arguments.lr.name == "c":
                raise UserError("the disk is full.")

        return write

    setattr(module, "main", main)  # noqa: B010 - as above
    run(module, *options(tmp_path, "a", "b"))
    assert {path.name: path.read_text() for path in (tmp_path / "made").iterdir()} == {"a.txt": "a", "b.txt": "b"}
    first_written.clear()
    second_begun.clear()
    for volumes in (("a", "b", "c"), ("c", "a", "b")):
        place = volumes.index("c") + 1
        with pytest.raises(UserError, match=rf"^{place} of 3, c: the disk is full\.$"):
            run(module, *options(tmp_path / "other", *volumes))
    assert list((tmp_path / "other").iterdir()) == []


def test_a_volume_that_fails_is_named_and_leaves_what_stood_there(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made/earlier.txt").write_text("kept")
    with pytest.raises(UserError, match=r"^2 of 3, b: it is no image\.$"):
        run(stage("b"), *options(tmp_path, "a", "b", "c"))
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["earlier.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"], "no table, and nothing beside the folder"


@pytest.mark.parametrize(
    ("flag", "values"), [("--predictions", "one/a two/a one/b"), ("--output", "x y z"), ("--extra", "x")]
)
def test_options_that_do_not_fit_the_volumes_are_refused(tmp_path, flag, values):
    words = options(tmp_path, "a", "b")
    with pytest.raises(UserError, match=f"^{flag}: .* for 2 volumes"):
        run(stage(), *words, flag, *values.split())


def test_a_volume_keeps_its_shard_whatever_comes_or_goes():
    names = [f"vol-{number}" for number in range(300)]
    whole = read_run(configuration()).sharded(names)
    fewer = read_run(configuration()).sharded(names[:150])
    assert all(set(ids) <= set(whole[shard]) for shard, ids in fewer.items())
    assert sorted(name for ids in whole.values() for name in ids) == sorted(names)
    assert list(whole) == sorted(whole) and max(map(len, whole.values())) < 8, "volumes are spread"
    assert read_run(configuration(shards=1)).sharded(names) == {"0": names}


def test_more_files_than_a_command_line_holds_come_from_a_file(tmp_path):
    parser = ArgumentParser()
    add_path(parser, "--volumes", "", many=True)
    parser.add_argument("--few", type=Path, nargs="*")
    names = [f"results/my run/extracted/vol-{number}.safetensors" for number in range(100_000)]
    (tmp_path / "volumes").write_text("\n".join(names) + "\n")
    (tmp_path / "none").write_text("\n")
    parsed = parser.parse_args(["--volumes", f"@{tmp_path}/volumes", "--few", f"@{tmp_path}/none"])
    assert parsed.volumes == [Path(name) for name in names]
    assert parsed.few == []
