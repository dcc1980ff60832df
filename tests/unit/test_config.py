"""The typed configuration and the documents made from it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from pipeline.__main__ import main
from pipeline.commands.check import check
from pipeline.commands.configure import CONFIG_FILE, SCHEMA_FILE, write_documents
from pipeline.commands.configure import documents as generated
from pipeline.config import demo, documents
from pipeline.config.allowed import TAG_KEYS, Place, in_words
from pipeline.config.checks import check_leaks, gap_between
from pipeline.config.known import known_sources
from pipeline.config.load import read_run, read_section, read_yaml
from pipeline.config.run import Run
from pipeline.config.sections import Degrade, Infer, Train
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from tests.helpers import CHECKOUT, configuration, volume_entry


@pytest.mark.parametrize("path", [CONFIG_FILE, SCHEMA_FILE], ids=str)
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert (CHECKOUT / path).read_text() == generated()[path], "run: make config"


def test_the_default_file_says_what_the_models_say() -> None:
    assert read_run(read_yaml(CHECKOUT / CONFIG_FILE)) == read_run(demo.DEMO)


def test_the_default_file_shows_every_key_with_its_meaning() -> None:
    text = (CHECKOUT / CONFIG_FILE).read_text()
    words = " ".join(text.replace("#", " ").split())
    for model, field in all_fields(Run):
        description = " ".join((field.description or "").split())
        assert description, f"{model.__name__} has a key without a docstring"
        assert description in words, description
    shown = yaml.safe_load(text)
    assert list(shown) == list(Run.model_fields)
    for name, field in Run.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            assert list(shown[name]) == list(field.annotation.model_fields)


def all_fields(model: type[BaseModel]) -> Iterator[tuple[type[BaseModel], Any]]:
    """All keys at every depth; those that tell kinds of tables apart explain themselves."""
    for name, field in model.model_fields.items():
        place = Place.of_field(field)
        inner = [*place.models, *documents._inner_models(place)]
        if name not in TAG_KEYS and not place.models:
            yield model, field
        for one in inner:
            yield from all_fields(one)


def test_the_default_file_is_narrow_and_has_no_trailing_spaces() -> None:
    lines = (CHECKOUT / CONFIG_FILE).read_text().splitlines()
    assert max(len(line) for line in lines) <= documents.WIDTH
    assert all(line == line.rstrip() for line in lines)


def test_any_configuration_can_be_written_out_and_read_back() -> None:
    values = configuration(
        sources={
            "mine": {"kind": "local", "path": "a: b #c.nii", "title": "Größe, 'quoted'"},
            "theirs": {"kind": "local", "path": "x", "format": "dicom", "network": None},
            "w": {"kind": "local", "path": "w.pth", "network": {"blocks": 6, "trained_on": "heads " * 40}},
        },
        train={"initial_weights": "w"},
        recipes={"brainsr": {"losses": {"l1": 1e-7}}},
        report={"title": "yes"},
    )
    values["volumes"][0]["id"] = "v" * 90
    text = documents.default_config(values)
    assert read_run(yaml.safe_load(text)) == read_run(values)


def test_the_schema_is_valid_and_accepts_what_the_models_accept() -> None:
    schema = json.loads((CHECKOUT / SCHEMA_FILE).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load((CHECKOUT / CONFIG_FILE).read_text()), schema)
    jsonschema.validate(configuration(), schema)


@pytest.mark.parametrize(
    "broken",
    [
        configuration(trian={}),
        configuration(train={"batchsize": 1}),
        configuration(degrade={"factor": 1}),
        configuration(volumes=[volume_entry(split="x")]),
        configuration(sources={"a": {"kind": "local", "path": "x", "url": "x"}}),
        {"run": "demo"},
    ],
)
def test_the_schema_refuses_what_the_models_refuse(broken: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        read_run(broken)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, json.loads((CHECKOUT / SCHEMA_FILE).read_text()))


def test_writing_puts_both_files_into_a_folder(tmp_path: Path) -> None:
    write_documents(tmp_path)
    found = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {CONFIG_FILE, SCHEMA_FILE}


def test_sections_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Degrade().factor = 2  # pyright: ignore[reportAttributeAccessIssue]


def test_a_section_is_read_from_json_and_from_a_file_alike(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("degrade: {factor: 2}\n")
    assert read_section(Degrade, str(path)) == read_section(Degrade, '{"factor": 2}') == Degrade(factor=2)
    assert read_section(Train, str(path)) == Train()


def test_an_overlap_that_leaves_no_tile_is_refused_in_a_section_alone() -> None:
    with pytest.raises(UserError, match=r"infer\.overlap_lr: 64 is not allowed: it must be less than .* 8"):
        read_section(Infer, '{"tile_lr": 16, "overlap_lr": 64}')
    with pytest.raises(UserError, match=r"infer\.overlap_lr: 16"):
        read_section(Infer, '{"tile_lr": 20}')


@pytest.mark.parametrize(
    ("methods", "recipes", "unused"),
    [
        (["thick"], {"thick": {"starts_from": "first"}, "first": {}, "thikc": {"steps": 9}}, ["thikc"]),
        (["rrdb_l1"], {"brainsr2": {"based_on": "brainsr"}, "esrgan": {"steps": 4}}, ["brainsr2", "esrgan"]),
        (["rrdb_l1"], {"brainsr": {"steps": 4}}, ["brainsr"]),
        (["rrdb_l1"], demo.DEMO["recipes"], []),
        (["brainsr"], {"rrdb_l1": {"steps": 4}}, []),
    ],
)
def test_a_recipe_that_nothing_is_trained_by_is_named(
    methods: list[str], recipes: dict[str, Any], unused: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    run = read_run(configuration(methods=methods, recipes=recipes, infer={"deliver": methods[0]}))
    assert set(run.trained_methods) & set(unused) == set()
    assert re.findall(r"recipes\.(\S+): no method uses this recipe", caplog.text) == unused


def test_every_known_source_says_what_it_is() -> None:
    for name, source in known_sources().items():
        assert source.title, name
        assert source.citation, name
        assert source.licence != "not stated", name
        assert source.sha256, name
        assert source.file_name.endswith(
            (".nii.gz", ".nii", ".mgz", ".tif", ".bin", ".onnx", ".pth", ".safetensors")
        ), name


@pytest.mark.parametrize("split", ["train", "val"])
def test_nothing_is_trained_or_selected_on_data_for_tests_only(split: str) -> None:
    volumes = [
        {"id": "a", "subject": "A", "split": split, "source": "oasis-1000"},
        {"id": "b", "subject": "B", "split": "test", "source": "oasis-1002"},
    ]
    with pytest.raises(UserError, match=r"'oasis-1000' is for tests only \(licence: CC BY-NC") as caught:
        read_run(configuration(volumes=volumes))
    assert "oasis-1002" not in str(caught.value)


def test_the_heads_are_split_by_person() -> None:
    run = read_run(read_yaml(CHECKOUT / "examples/heads.yaml"))
    scans = [one for one in run.volumes if one.content == "image"]
    persons = {split: {one.subject for one in scans if one.split == split} for split in ("train", "val", "test")}
    assert len(persons["train"]) == 4 and len(persons["val"]) == 2 and len(persons["test"]) == 14
    assert not persons["train"] & persons["val"] and not persons["test"] & (persons["train"] | persons["val"])
    terms = run.training_terms(known_sources())
    licences = [(one.licence, one.volumes) for one in terms]
    assert licences == [("BSD-3-Clause", 1), ("MIT", 2), ("CC BY 4.0", 14), ("Apache-2.0", 20), ("MIT", 1)]
    assert terms[2].citation.startswith("Lesjak")


def test_allowed_values_are_told_in_words() -> None:
    words = {name: in_words(Place.of_field(field)) for name, field in Volume.model_fields.items()}
    assert words["split"] == "one of train, val, test, test_within_subject"
    assert words["slices"] == "list of 2: [whole number >= 0; whole number >= 1], or null"
    assert words["source"] == "text, or null"


PUBLIC_DATA = ("bids.yaml", "em.yaml", "fibsem.yaml", "fluorescence.yaml", "ixi.yaml", "openneuro.yaml")


def test_examples_and_profiles_that_ship_are_printed(capsys):
    for arguments, path in (
        (["--example", "own-volumes"], "examples/own-volumes.yaml"),
        (["--example", "zoo/mri-x4"], "examples/zoo/mri-x4.yaml"),
        (["--profile", "slurm"], "profiles/slurm/profile.yaml"),
    ):
        assert main(["configure", *arguments]) == 0
        assert capsys.readouterr().out == (CHECKOUT / path).read_text()
    assert main(["configure", "--example", "../config"]) == 1
    assert "there are: bids, demo-gpu, " in capsys.readouterr().err
    assert main(["configure", "--profile", "pbs"]) == 1
    assert capsys.readouterr().err.endswith("there are: default, slurm.\n")
    assert main(["configure", "--profile", "slurm", "--write"]) == 1
    assert "exclude each other" in capsys.readouterr().err


EXAMPLES = sorted(path.name for path in (CHECKOUT / "examples").glob("*.yaml"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_sound_says_what_it_is_and_puts_nobody_in_two_splits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for subject in ("sub-01", "sub-02", "sub-03", "sub-04"):
        image = tmp_path / f"data/my-bids/{subject}/anat/{subject}_T1w.nii.gz"
        image.parent.mkdir(parents=True)
        image.touch()
    for subject in ("sub-01", "sub-02", "sub-03"):
        (tmp_path / f"data/{subject}_T1w.nii.gz").touch()
    facts = {"Name": "Mine", "BIDSVersion": "1.8.0", "License": "not to be shared", "Authors": ["A"]}
    (tmp_path / "data/my-bids/dataset_description.json").write_text(json.dumps(facts))
    values = read_yaml(CHECKOUT / "examples" / name)
    run = read_run(values)
    check(CHECKOUT / "examples" / name)
    assert run.run != "demo" and "volumes" in values, "or the volumes of the default run would be used too"
    known = {**known_sources(), **run.sources}
    used = [known[source] for source in {volume.origin for volume in run.volumes}]
    if name == "own-volumes.yaml":
        return
    assert all(source.licence != "not stated" and source.citation and source.title for source in used)
    if name in PUBLIC_DATA:
        text = " ".join((CHECKOUT / "examples" / name).read_text().replace("#", " ").split())
        assert "Limitations" in text and "estimate" in text and "Requirements" in text
        assert "kind: local" in text or "path: data/" in text, "it says how to name a copy that is there already"


def test_the_people_of_an_archive_are_split_by_a_hash_that_leaves_no_split_empty() -> None:
    run = read_run(read_yaml(CHECKOUT / "examples/ixi.yaml"))
    counts = Counter(volume.split for volume in run.volumes)
    assert set(counts) == {"train", "val", "test"} and len(run.volumes) == len({v.subject for v in run.volumes})
    assert len({getattr(source, "url", None) for name, source in run.sources.items() if name != "ixi-t1"}) == 1


def leaks(*entries: dict[str, Any], gap: int = 8) -> list[str]:
    volumes = [Volume.model_validate_json(json.dumps(entry)) for entry in entries]
    return list(check_leaks(volumes, gap))


SPLITS = ("train", "val", "test", "test_within_subject")
DIFFERENT = [(one, other) for one in SPLITS for other in SPLITS if one != other]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_a_subject_in_two_splits_is_a_leak_unless_both_are_blocks_of_one_source(one: str, other: str) -> None:
    low, high = volume_entry(id="a", split=one), volume_entry(id="b", split=other)
    whole = leaks(low, high)
    apart = leaks({**low, "slices": [0, 10]}, {**high, "slices": [18, 30]})
    assert len(whole) == 1
    assert "'S1' is in two splits" in whole[0]
    assert bool(apart) == ("test" in (one, other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_subjects_from_different_files_are_no_leak(one: str, other: str) -> None:
    low = volume_entry(id="a", split=one)
    assert leaks(low, volume_entry(id="b", split=other, subject="S2", source="theirs")) == []


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_one_file_under_two_subjects_is_a_leak(one: str, other: str) -> None:
    (message,) = leaks(volume_entry(id="a", split=one), volume_entry(id="b", split=other, subject="S2"))
    assert "'mine' is assigned to two subjects" in message


@pytest.mark.parametrize("split", SPLITS)
def test_within_one_split_anything_goes(split: str) -> None:
    assert leaks(volume_entry(id="a", split=split), volume_entry(id="b", split=split)) == []


def test_two_sources_of_one_subject_cannot_be_told_apart_by_slices() -> None:
    low = volume_entry(id="a", split="train", slices=[0, 10])
    assert len(leaks(low, volume_entry(id="b", split="val", slices=[90, 99], source="again"))) == 1


@pytest.mark.parametrize(("start", "mistakes"), [(17, 1), (18, 0), (10, 1), (5, 1)])
def test_blocks_need_the_whole_gap(start: int, mistakes: int) -> None:
    low = volume_entry(id="a", split="train", slices=[0, 10])
    high = volume_entry(id="b", split="test_within_subject", slices=[start, 40])
    assert len(leaks(low, high)) == len(leaks(high, low)) == mistakes


blocks = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda block: [block[0], block[0] + block[1]])


@given(blocks, blocks)
def test_the_gap_counts_the_slices_between_two_blocks(one: list[int], other: list[int]) -> None:
    first, second = (Volume.model_validate_json(json.dumps(volume_entry(slices=block))) for block in (one, other))
    gap = gap_between(first, second)
    low, high = sorted((range(*one), range(*other)), key=lambda block: (block[0], block[-1]))
    between = [index for index in range(90) if low[-1] < index < high[0]]
    assert gap is not None
    assert max(gap, 0) == len(between)
    assert (gap < 0) == bool(set(one_range(one)) & set(one_range(other)))


def one_range(block: list[int]) -> range:
    return range(*block)
