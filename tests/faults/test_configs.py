"""Broken configurations: all mistakes at once, each with its key, the value found and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers import configuration, contents, run_command, run_step, the_message, volume_entry
from tests.workflow.project import snakemake


def volumes(**changes: Any) -> dict[str, Any]:
    """A configuration whose first volume was changed."""
    good = configuration()["volumes"]
    return configuration(volumes=[{**good[0], **changes}, *good[1:]])


BROKEN: dict[str, tuple[str | dict[Any, Any], tuple[str, ...]]] = {
    "empty file": ("", ("expected keys and values, found nothing",)),
    "only comments": ("# nothing here\n", ("found nothing",)),
    "list at the top": ("- run: demo\n", ("found a list",)),
    "one word": ("demo\n", ("found a single value",)),
    "not YAML": ("run: [demo\n", ("not valid YAML", "line 2")),
    "tab": ("run: demo\n\tseed: 1\n", ("not valid YAML", "line 2")),
    "key given twice": ("run: demo\nseed: 1\nrun: other\n", ("'run' occurs twice", "line 3")),
    "contains itself": ("run: demo\nsources: &loop\n  a: *loop\n", ("YAML alias",)),
    "object": ("run: !!python/object:os.system {}\n", ("not valid YAML",)),
    "unknown key": (configuration(degrad={}), ("degrad: unknown key", "did you mean 'degrade'?")),
    "unknown key in a section": (configuration(train={"validate": 4}), ("train.validate", "'validate_every'?")),
    "unknown key in a list": (volumes(splt="train"), ("volumes[0].splt", "did you mean 'split'?")),
    "unknown key in a source": (
        configuration(sources={"local": {"kind": "local", "pth": "x"}}),
        ("sources.local.pth: unknown key", "did you mean 'path'?", "sources.local.path: is missing"),
    ),
    "unknown key in a network": (
        configuration(sources={"w": {"kind": "local", "path": "x", "network": {"blocks": 6, "trained": "x"}}}),
        ("sources.w.network.trained: unknown key", "did you mean 'trained_on'?"),
    ),
    "key that is a number": (configuration(**{"train": {3: 1}}), ("train.3: unknown key",)),
    "key that is a date": ("run: demo\n2026-01-01: x\n", ("2026-01-01: unknown key",)),
    "too small": (configuration(train={"accumulate": 0}), ("train.accumulate: 0", "whole number >= 1, <= 1024")),
    "too large": (configuration(degrade={"factor": 9}), ("degrade.factor: 9", "number > 1, <= 8")),
    "no factor of networks": (
        configuration(degrade={"factor": 5.5556}),
        ("degrade.factor: networks do not support 5.5556; choose one of 2, 3, 4, 8", "ratio_range", "methods: []"),
    ),
    "no factor of networks for the mismatch": (
        configuration(degradations={"thin": {"factor": 2.5}}),
        ("degradations.thin.factor: networks do not support 2.5; choose one of 2, 3, 4, 8",),
    ),
    "network that does not support the factor": (
        configuration(degrade={"factor": 5.5556}, methods=[]),
        ("infer.deliver: 'brainsr' is unknown", "choose one of bicubic"),
    ),
    "too small in a list": (volumes(slices=[-1, 4]), ("volumes[0].slices[0]: -1", "whole number >= 0")),
    "list too short": (volumes(slices=[4]), ("volumes[0].slices: [4]", "list of 2")),
    "list too long": (volumes(slices=[1, 2, 3]), ("volumes[0].slices: [1, 2, 3]", "list of 2", "or null")),
    "text for a number": (configuration(seed="one"), ('seed: "one"', "whole number >= 0, < 4294967296")),
    "number that YAML reads as text": (
        "run: x\nrecipes: {mine: {learning_rate: 2e-4}}\n",
        ("recipes.mine.learning_rate", "2.0e-4"),
    ),
    "whole number in quotes": ('run: x\ndegrade: {factor: "4"}\n', ("degrade.factor", "text: write 4 without quotes")),
    "fraction in quotes": ('run: x\ndegrade: {noise_sigma: "0.1"}\n', ("noise_sigma", "write 0.1 without quotes")),
    "decimal comma": ("run: x\ndegrade:\n  noise_sigma: 0,1\n", ("noise_sigma", "write decimals with a point: 0.1")),
    "decimal comma in braces": (
        "run: x\ndegrade: {noise_sigma: 0,1}\n",
        ("degrade.noise_sigma: write decimals with a point, such as 0.1",),
    ),
    "BIDS folder that is not there": (
        configuration(
            datasets=[{"kind": "bids", "path": "nowhere", "subjects": {"train": ["sub-1"], "val": ["sub-2"]}}]
        ),
        ("has a mistake: datasets[0].path: there is no folder",),
    ),
    "subject that YAML reads as a number": (
        "run: x\nvolumes:\n  - {id: a, subject: 010, split: val, source: mni152-2009a}\n",
        ("volumes[0].subject: 8 is not allowed", 'this as a number: put it in quotes: subject: "010"'),
    ),
    "subject that YAML reads as a fraction": (
        "run: x\nvolumes:\n  - {id: a, subject: 1.0e+3, split: val, source: mni152-2009a}\n",
        ("volumes[0].subject: 1000.0 is not allowed", 'put it in quotes: subject: "1.0e+3"'),
    ),
    "text that YAML reads as true or false": (
        "run: no\nreport: {title: Yes}\n",
        ('this as true or false: put it in quotes: run: "no"', 'put it in quotes: title: "Yes"'),
    ),
    "list with numbers for text": (
        "run: x\ndatasets:\n  - {kind: bids, path: ds, only: {run: [a, 01]}, subjects: {test: [007]}}\n",
        ("datasets[0].only.run[1]: 1 is not allowed", 'quotes: ["01"]', 'quotes: ["007"]'),
    ),
    "name of a source that is a number": (
        "run: x\nsources: {001: {kind: local, path: a.nii}}\n",
        ("sources: YAML does not read the key 1 as text: put it in quotes", "YAML reads 007 as 7"),
    ),
    "text that YAML reads as a point in time": (
        "run: x\nreport: {title: 2026-01-01 10:00:00}\n",
        ("report.title: YAML reads this as a date: put it in quotes",),
    ),
    "fraction for a whole number": (
        configuration(train={"validate_every": 1.5}),
        ("train.validate_every: 1.5", "whole number >= 1"),
    ),
    "true for a number": (configuration(degrade={"factor": True}), ("degrade.factor: true", "number > 1")),
    "text for true or false": (configuration(extract={"bias_correction": "on"}), ("bias_correction", "true or false")),
    "segmentation that nobody knows": (
        volumes(segmentation="vgg16-brain-tumors"),
        ("volumes[0].segmentation: 'vgg16-brain-tumors' is unknown", "did you mean 'vgg16-brain-tumor'?"),
    ),
    "neurons that nobody knows": (
        volumes(neurons="fibsem-medulla-3-neurons", split="test"),
        ("volumes[0].neurons: 'fibsem-medulla-3-neurons' is unknown", "did you mean 'fibsem-medulla-2-neurons'?"),
    ),
    "neurons of a volume that is not evaluated": (
        volumes(neurons="fibsem-medulla-2-neurons", split="train"),
        ("neurons applies to volumes that are evaluated, not to the split train",),
    ),
    "network of a fixed factor trained with missing sections": (
        configuration(degrade={"operators": [{"name": "binning"}, {"name": "missing_section"}]}),
        ("degradations: networks of a fixed factor cannot be trained with missing_section", "ratio_range"),
    ),
    "labels without a segmentation": (
        configuration(evaluate={"regions": ["foreground", "labels"]}),
        ("evaluate.regions: labels requires a `segmentation`",),
    ),
    "names of labels that are not measured": (
        configuration(evaluate={"labels": {17: "hippocampus"}}),
        ("evaluate.labels has no effect; add labels to evaluate.regions",),
    ),
    "unseen slices where all are seen": (
        configuration(evaluate={"regions": ["unseen"]}),
        ("evaluate.regions: unseen requires a forward model that drops slices",),
    ),
    "a label that is no number": (
        configuration(evaluate={"regions": ["labels"], "labels": {"hippocampus": 17}}),
        ("evaluate.labels", "hippocampus", "whole number >= 1"),
    ),
    "NaN": ("run: x\ndegrade: {noise_sigma: .nan}\n", ("degrade.noise_sigma: NaN", "number >= 0, <= 1")),
    "null for a section": (configuration(train=None), ("train: null", "keys and values")),
    "mapping for a list": (configuration(volumes={"a": {}}), ('volumes: {"a": {}}', "allowed: list")),
    "text for a mapping": (configuration(volumes=["head"]), ('volumes[0]: "head"', "keys and values")),
    "date for a list": ("run: x\nvolumes: 2026-01-01\n", ('volumes: "2026-01-01"', "allowed: list")),
    "unknown choice": (configuration(extract={"plane": "axal"}), ("extract.plane", "sagittal", "mean 'axial'?")),
    "unknown split": (volumes(split="training"), ("volumes[0].split", "test_within_subject")),
    "unknown plug-in": (configuration(evaluate={"metrics": ["psrn"]}), ("evaluate.metrics[0]", "did you mean 'psnr'?")),
    "unknown loss": (
        configuration(recipes={"mine": {"losses": {"l11": 1.0}}}),
        ('recipes.mine.losses: the key "l11"', "mean 'l1'?"),
    ),
    "no loss": (configuration(recipes={"mine": {"losses": {}}}), ("recipes.mine", "no loss")),
    "misspelt recipe": (
        configuration(recipes={"brainrs": {"steps": 4}}),
        ("recipes.brainrs: no method uses this recipe; did you mean 'brainsr'?",),
    ),
    "name with a slash": (configuration(run="../demo"), ('run: "../demo"', "letters, digits")),
    "name of a source with a space": (
        configuration(sources={"a b": {"kind": "local", "path": "x"}}),
        ('sources: the key "a b"', "letters, digits"),
    ),
    "source without a kind": (configuration(sources={"a": {"path": "x"}}), ("sources.a.kind: is missing", "local")),
    "source of unknown kind": (configuration(sources={"a": {"kind": "locl"}}), ("sources.a.kind", "mean 'local'?")),
    "short checksum": (
        configuration(sources={"a": {"kind": "local", "path": "x", "sha256": "abc"}}),
        ("sources.a.sha256", "64 digits"),
    ),
    "unknown source": (volumes(source="min"), ("volumes[0].source: 'min' is unknown", "did you mean 'mine'?")),
    "weights as an image": (volumes(source="realesrgan-6b"), ("volumes[0].source", "contains network weights")),
    "unknown weights": (
        configuration(train={"initial_weights": "realesrgan"}),
        ("train.initial_weights", "realesrgan-6b"),
    ),
    "unknown deliverable": (configuration(infer={"deliver": "bicubc"}), ("infer.deliver", "mean 'bicubic'?")),
    "empty block": (volumes(slices=[9, 9]), ("volumes[0].slices: [9, 9] is empty",)),
    "id given twice": (volumes(id="mid"), ("the id 'mid' is used by 2 volumes",)),
    "subject in train and test": (volumes(subject="S2", source="theirs"), ("'S2' is in two splits",)),
    "blocks too near": (volumes(slices=[0, 15]), ("the gap of 5 slices", "min_gap_slices, 8")),
    "nothing to train on": (configuration(volumes=configuration()["volumes"][1:]), ("none is in split 'train'",)),
    "overlap wider than a tile": (configuration(infer={"tile_lr": 32, "overlap_lr": 16}), ("infer.overlap_lr: 16",)),
}


def written(folder: Path, content: str | dict[Any, Any]) -> Path:
    path = folder / "mine.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_configuration_is_refused_in_words(kind: str, tmp_path: Path) -> None:
    content, expected = BROKEN[kind]
    path = written(tmp_path, content)
    before = contents(tmp_path)
    message = the_message(run_command("check", path))
    assert str(path) in message
    assert [words for words in expected if words not in message] == []
    assert contents(tmp_path) == before


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    broken = configuration(
        seed=-1, degrade={"factor": 1, "noise_sigma": 2.0}, extrct={}, train={"threads": 0, "treads": 2}
    )
    lines = the_message(run_command("check", written(tmp_path, broken))).splitlines()
    assert lines[0].endswith("has 6 mistakes:")
    keys = {line.removeprefix("  - ").split(":")[0] for line in lines[1:]}
    assert keys == {"seed", "degrade.factor", "degrade.noise_sigma", "extrct", "train.threads", "train.treads"}


def not_there(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def in_another_encoding(path: Path) -> None:
    path.write_bytes("run: Gehirn-Größe\n".encode("latin-1"))


@pytest.mark.parametrize("damage", [not_there, a_folder, in_another_encoding])
def test_an_unreadable_configuration_file_is_named(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = written(tmp_path, configuration())
    damage(path)
    assert str(path) in the_message(run_command("check", path))


def test_a_file_without_read_permission_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, configuration())
    path.chmod(0)
    message = the_message(run_command("check", path, refusable=True))
    assert message == f"cannot read {path}: Permission denied."


def test_a_sound_configuration_passes(tmp_path: Path) -> None:
    for name in ("mine.nii.gz", "theirs.nii.gz"):
        (tmp_path / name).touch()
    result = run_command("check", written(tmp_path, configuration()), folder=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("path", "hint"),
    [("gone.nii.gz", "gone"), ("~/gone.nii.gz", "~ is not expanded"), ("link.nii.gz", "datalad get")],
)
def test_files_that_are_not_there_are_named_before_anything_is_run(path: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "theirs.nii.gz").touch()
    (tmp_path / "link.nii.gz").symlink_to("annex")
    network = {"blocks": 1, "trained_on": "nothing"}
    sources = {
        **configuration()["sources"],
        "mine": {"kind": "local", "path": path},
        "unused": {"kind": "local", "path": "unused.nii.gz"},
        "small": {"kind": "local", "path": "small.pth", "network": network},
    }
    file = written(tmp_path, configuration(sources=sources, train={"initial_weights": "small"}))
    message = the_message(run_command("check", file, folder=tmp_path))
    assert f'sources.mine.path: no such file: "{path}" in {tmp_path}' in message and hint in message
    assert f'sources.small.path: no such file: "small.pth" in {tmp_path}' in message
    assert message.count("no such file:") == 2
    planned = snakemake(tmp_path, "--configfile", file, "--dry-run")
    told = planned.stderr + planned.stdout
    assert planned.returncode == 1 and "MissingInputException" not in told
    assert f'sources.mine.path: no such file: "{path}" in {tmp_path}' in told and "small.pth" in told
    for name, source in (("mine", path), ("small", "small.pth")):
        (tmp_path / "resources" / name).mkdir(parents=True)
        (tmp_path / "resources" / name / Path(source).name).touch()
    assert run_command("check", file, folder=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('{"factor": 9}', "degrade.factor: 9 is not allowed; allowed: number > 1, <= 8"),
        ('{"factr": 4}', "degrade.factr: unknown key; did you mean 'factor'?"),
        ('{"factor": 4', "is not valid JSON"),
        ("no-such-file.yaml", "cannot read no-such-file.yaml"),
    ],
)
def test_settings_of_one_stage_are_checked_the_same_way(settings: str, expected: str, tmp_path: Path) -> None:
    paths = ("--input", tmp_path / "a", "--output", tmp_path / "b", "--forward-model", tmp_path / "c")
    assert expected in the_message(run_step("degrade", *paths, "--settings", settings))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "2", "-0.1"])
def test_a_noise_that_cannot_be_is_refused_and_not_estimated_instead(value: str, tmp_path: Path) -> None:
    options = (f"--noise-sigma={value}", "--output", tmp_path / "b.nii", "--model", tmp_path / "m.safetensors")
    message = the_message(run_command("apply", tmp_path / "a.nii", *options))
    assert "infer.noise_sigma: " in message and "allowed: number >= 0, <= 1" in message


def test_warnings_are_told_from_progress(tmp_path: Path) -> None:
    (tmp_path / "mine.nii.gz").touch()
    values = configuration(volumes=configuration()["volumes"][:2])
    lines = run_command("check", written(tmp_path, values), folder=tmp_path).stderr.splitlines()
    assert [line.split()[0] == "WARNING" for line in lines] == [
        "no volume has the split test" in line for line in lines
    ]
    assert len(lines) == 2 and ": valid; " in lines[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        *((("apply", "a.nii", "--memory-mb", text), "Invalid value") for text in ("-5", "0", "4G")),
        (("apply", "a.nii", "--voxel-um", "0.5", "0.5", "0"), "Must be > 0"),
        (("aply",), "aply"),
        (("check",), "CONFIG"),
        (("configure", "--write", "--chek"), "chek"),
    ],
)
def test_a_wrong_command_line_is_told_with_status_2(arguments: tuple[str, ...], expected: str) -> None:
    result = run_command(*arguments)
    assert result.returncode == 2
    assert expected in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "Usage: "),
        (("extrct",), "no step 'extrct'"),
        (("publish", "--folders", "a"), "--into"),
        (("publish", "--folders", "a", "--into", "b", "--output", "c", "--indoo", "b"), "--indoo"),
    ],
)
def test_a_wrong_command_line_of_a_step_exits_with_status_2(arguments: tuple[str, ...], expected: str) -> None:
    result = run_step(*arguments)
    assert result.returncode == 2
    assert expected in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_an_entry_of_a_volume_that_is_broken_names_the_key(tmp_path: Path) -> None:
    entry = yaml.safe_dump(volume_entry(split="tset"), default_flow_style=True, width=1000).strip()
    result = run_step("extract", "--input", tmp_path / "a", "--output", tmp_path / "b", "--volume", entry)
    assert "is not valid JSON" in the_message(result)
