"""Data sets: tables, patterns, BIDS folders and archives become volumes, each subject in one split."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.bids.names import check_place, derivative_path, parse
from pipeline.config.finding.items import captured, named_after
from pipeline.config.finding.splitting import point_of, split_by_hash
from pipeline.config.load import read_run
from pipeline.config.run import Run
from pipeline.config.sources import LocalSource, S3Source
from pipeline.errors import UserError
from pipeline.provenance.record import read_config
from tests.helpers import CHECKOUT

ALL = {"train": ["a"], "val": ["b"], "test": ["c"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder of its own, to which the paths of its configuration are relative."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_of(*datasets: dict[str, Any], **changes: Any) -> Run:
    return read_run({"run": "x", "volumes": [], "datasets": list(datasets), **changes})


def mistakes_of(*datasets: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(UserError) as error:
        run_of(*datasets, **changes)
    return str(error.value)


def touch(*paths: str) -> None:
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def table(*rows: str, name: str = "volumes.tsv") -> dict[str, Any]:
    Path(name).write_text("\n".join(row.replace("|", "\t") for row in rows) + "\n")
    return {"kind": "table", "file": name}


def bids(*images: str, **description: Any) -> dict[str, Any]:
    touch(*(f"ds/{image}" for image in images))
    Path("ds").mkdir(exist_ok=True)
    Path("ds/dataset_description.json").write_text(json.dumps({"Name": "A set", "BIDSVersion": "1.8.0", **description}))
    return {"kind": "bids", "path": "ds"}


def splits(run: Run) -> dict[str, str]:
    return {volume.id: volume.split for volume in run.volumes}


# splits


@given(st.text("ab-09ßµ", min_size=1))
def test_the_point_of_a_subject_is_its_hash_as_a_fraction(name: str) -> None:
    assert point_of(name) == int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) / 2**64


@given(st.sets(st.text("abcdefgh0123456789", min_size=1), max_size=30), st.text("xyz", min_size=1))
def test_a_new_subject_moves_no_other(names: set[str], new: str) -> None:
    shares: Any = {"train": 0.5, "val": 0.2, "test": 0.3}
    before = {name: split_by_hash(name, shares) for name in names}
    after = {name: split_by_hash(name, shares) for name in names | {new}}
    assert {name: after[name] for name in names} == before


def test_shares_are_kept_to_over_many_subjects() -> None:
    shares: Any = {"train": 0.7, "val": 0.1, "test": 0.2}
    found = [split_by_hash(f"sub-{index:04}", shares) for index in range(5000)]
    for split, share in shares.items():
        assert found.count(split) / 5000 == pytest.approx(share, abs=0.02)
    assert set(found) == {"train", "val", "test"}


def test_without_shares_nobody_has_a_split_and_with_one_everybody_has() -> None:
    assert split_by_hash("a", {}) is None
    assert {split_by_hash(str(index), {"test": 1.0}) for index in range(50)} == {"test"}


# tables


def test_a_row_becomes_a_volume_and_a_local_source() -> None:
    touch("a.nii.gz", "my b.nii")
    run = run_of(
        table(
            "id|subject|split|path|slices|licence|channel",
            "one|A|train|a.nii.gz|[3, 40]|CC0|",
            "",
            "two|A|train|a.nii.gz|n/a||0",
            'three|B|val|my b.nii|"[1, 2]"||DAPI',
            "four|C|test|s3://bucket/c/b.nii||CC-BY|",
        ),
        sources={},
        min_gap_slices=1,
    )
    assert splits(run) == {"one": "train", "two": "train", "three": "val", "four": "test"}
    assert run.volume("one").slices == (3, 40) and run.volume("two").slices is None
    assert run.volume("two").channel == 0 and run.volume("three").channel == "DAPI"
    assert run.volume("three").slices == (1, 2)
    first = run.sources["one"]
    assert isinstance(first, LocalSource) and (first.path, first.licence) == ("a.nii.gz", "CC0")
    last = run.sources["four"]
    assert isinstance(last, S3Source) and (last.path, last.licence) == ("s3://bucket/c/b.nii", "CC-BY")


def test_a_table_may_name_sources_and_leave_the_split_to_the_hash() -> None:
    names = [f"P{index}" for index in range(40)]
    sources = {name: {"kind": "local", "path": f"{name}.nii"} for name in names}
    rows = [f"v{name}|{name}|{name}" for name in names]
    run = run_of(table("id|subject|source", *rows), sources=sources)
    assert set(run.sources) == set(names)
    shares: Any = {"train": 0.7, "val": 0.15, "test": 0.15}
    assert splits(run) == {f"v{name}": split_by_hash(name, shares) for name in names}


def test_all_mistakes_of_a_table_are_told_with_line_and_column() -> None:
    touch("a.nii")
    text = mistakes_of(
        table(
            "id|subject|split|path|slices",
            "one|A|tset|a.nii|",
            "one|B C|train|gone.nii|[4",
            "three|C|val|a.nii",
            "four|D||a.nii|",
        )
    )
    for words in (
        'volumes.tsv, line 2, column split: "tset" is not allowed',
        "did you mean 'test'?",
        "line 2' and 'volumes.tsv, line 3' would both be called 'one'",
        'line 3, column path: no such file: "gone.nii"',
        'line 3, column subject: "B C" is not allowed; allowed: text: 1 to 100 letters',
        'line 3, column slices: "[4" is not allowed; allowed: list of 2',
        "line 4: it has 4 columns, line 1 5",
    ):
        assert words in text
    assert "none is in split" not in text


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["id|subjct|path"], ["no column 'subjct'; did you mean 'subject'?", "'subject' is missing"]),
        (["id|id|subject|path"], ["the column 'id' appears 2 times"]),
        (["id|subject"], ["'path'", "'source'", "is missing"]),
        (["id;subject;path", "a;b;c"], ["separate columns by tabs"]),
        (["id|subject|path"], ["has no rows"]),
        ([""], ["is empty"]),
        (["id|subject|path|source", "a|A|x.nii|mine"], ["give either path or source, not both"]),
        (["id|subject|path", "a|A|"], ["give either path or source"]),
        (["id|subject|source", "a|A|mni152"], ["'mni152' is unknown; did you mean 'mni152-2009a'?"]),
    ],
)
def test_a_wrong_table_is_told(rows: list[str], words: list[str]) -> None:
    touch("x.nii")
    text = mistakes_of(table(*rows))
    assert [word for word in words if word not in text] == []


def test_ten_thousand_rows_are_read_in_seconds() -> None:
    touch(*(f"{index}.nii" for index in range(10_000)))
    rows = [f"v{index}|S{index}|{('train', 'val', 'test')[index % 3]}|{index}.nii" for index in range(10_000)]
    begin = time.perf_counter()
    run = run_of(table("id|subject|split|path", *rows))
    assert len(run.volumes) == 10_000 and run.volume("v9999").subject == "S9999"
    assert time.perf_counter() - begin < 20


# one file under two names

SHA = hashlib.sha256(b"").hexdigest()
SAME_FILES: dict[str, tuple[dict[str, Any], ...]] = {
    "one path": ({"path": "a.nii"}, {"path": "a.nii"}),
    "one path written in two ways": ({"path": "a.nii"}, {"path": "./folder/../a.nii"}),
    "a link": ({"path": "a.nii"}, {"path": "link.nii"}),
    "a hard link": ({"path": "a.nii"}, {"path": "hard.nii"}),
    "a folder and a link to it": ({"path": "folder", "format": "dicom"}, {"path": "again", "format": "dicom"}),
    "a file that is not there": ({"path": "gone.nii"}, {"path": "./gone.nii"}),
    "one checksum": ({"path": "a.nii", "sha256": SHA}, {"path": "b.nii", "sha256": SHA}),
    "a download and its copy": (
        {"path": "a.nii", "sha256": SHA},
        {"kind": "http", "url": "https://example.org/x.nii", "sha256": SHA},
    ),
    "one address": ({"kind": "http", "url": "https://example.org/x.nii", "sha256": None},) * 2,
    "one object": ({"kind": "s3", "path": "s3://bucket/x.nii"},) * 2,
    "one member": ({"path": "all.zip", "member": "x.nii"},) * 2,
}


def run_of_two_sources(*described: dict[str, Any]) -> Run:
    """Read a run whose first source teaches and whose second one tests."""
    touch("a.nii", "b.nii", "folder/slice.dcm", "all.zip")
    Path("link.nii").symlink_to("a.nii")
    Path("again").symlink_to("folder")
    Path("hard.nii").hardlink_to("a.nii")
    sources = {name: {"kind": "local", **source} for name, source in zip(("one", "other"), described, strict=True)}
    volumes = [
        {"id": "a", "subject": "A", "split": "train", "source": "one"},
        {"id": "b", "subject": "B", "split": "val", "source": "mni152-2009a"},
        {"id": "c", "subject": "C", "split": "test", "source": "other"},
    ]
    return read_run({"run": "x", "volumes": volumes, "sources": sources})


@pytest.mark.parametrize("kind", SAME_FILES)
def test_one_file_under_two_names_is_no_second_subject(kind: str) -> None:
    with pytest.raises(UserError) as error:
        run_of_two_sources(*SAME_FILES[kind])
    assert str(error.value).count("same file") == 1
    assert "volumes 'a' (train) and 'c' (test): the sources 'one' and 'other'" in str(error.value)


def test_other_files_and_other_images_of_a_file_are_other_subjects() -> None:
    members = [{"path": "all.zip", "member": f"{name}.nii", "sha256": SHA} for name in "xy"]
    assert run_of_two_sources(*members).ids("test") == ["c"]
    for path in ("link.nii", "again", "hard.nii"):
        Path(path).unlink()
    assert run_of_two_sources({"path": "a.nii"}, {"path": "b.nii"}).ids("train") == ["a"]


def test_rows_of_a_table_that_name_one_file_are_refused() -> None:
    touch("a.nii", "b.nii")
    rows = ("one|A|train|a.nii", "two|B|val|b.nii", "three|C|test|./a.nii")
    assert "which is assigned to two subjects" in mistakes_of(table("id|subject|split|path", *rows))


# patterns


def test_the_files_of_a_pattern_are_split_by_their_subjects() -> None:
    touch(*(f"data/sub-{name}/anat/sub-{name}_run-{run}_T1w.nii.gz" for name in "abc" for run in (1, 2)))
    dataset = {"kind": "glob", "pattern": "data/sub-*/anat/*_T1w.nii.gz", "subject": r"sub-(\w)"}
    run = run_of({**dataset, "subjects": ALL, "licence": "mine", "each_volume": {"slices": [2, 9]}})
    assert splits(run) == {
        f"sub-{name}_run-{number}_T1w": split
        for name, split in zip("abc", ("train", "val", "test"), strict=True)
        for number in (1, 2)
    }
    assert {volume.subject for volume in run.volumes} == {"a", "b", "c"}
    assert all(volume.slices == (2, 9) for volume in run.volumes)
    assert {source.licence for source in run.sources.values()} == {"mine"}


def test_subjects_without_a_share_are_left_out() -> None:
    touch(*(f"{name}.nii" for name in "abcdef"))
    run = run_of({"kind": "glob", "pattern": "*.nii", "subject": r"^\w", "subjects": ALL, "splits": {}})
    assert splits(run) == {"a": "train", "b": "val", "c": "test"}


def test_files_of_one_name_are_told_apart_by_an_expression() -> None:
    touch(*(f"{name}/T1.nii" for name in "abc"))
    dataset = {"kind": "glob", "pattern": "*/T1.nii", "subject": r"^\w", "subjects": ALL}
    text = mistakes_of(dataset)
    assert "'a/T1.nii' and 'b/T1.nii' would both be called 'T1'; give the key volume" in text
    assert splits(run_of({**dataset, "volume": r"^(\w)/(T1)"})) == {"a-T1": "train", "b-T1": "val", "c-T1": "test"}


def test_prefixes_keep_two_data_sets_apart() -> None:
    touch(*(f"{folder}/{name}.nii" for folder in "xy" for name in "abc"))
    one, other = (
        {"kind": "glob", "pattern": f"{folder}/*.nii", "subject": r"(\w)\.nii", "subjects": ALL} for folder in "xy"
    )
    assert "give the key prefix" in mistakes_of(one, other)
    run = run_of(one, {**other, "prefix": "y-"})
    assert [volume.id for volume in run.volumes] == ["a", "b", "c", "y-a", "y-b", "y-c"]
    assert [volume.subject for volume in run.volumes[3:]] == ["y-a", "y-b", "y-c"]


def test_folders_of_dicom_files_are_found_like_files() -> None:
    touch(*(f"scans/{name}/1.dcm" for name in "abc"))
    dataset = {"kind": "glob", "pattern": "scans/*", "subject": r"\w$", "subjects": ALL, "format": "dicom"}
    run = run_of(dataset)
    assert [source.path for source in run.sources.values() if isinstance(source, LocalSource)] == [
        "scans/a",
        "scans/b",
        "scans/c",
    ]
    assert {source.format for source in run.sources.values()} == {"dicom"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pattern": "*.mgz"}, "datasets[0].pattern: no file fits '*.mgz'"),
        ({"subject": "sub-"}, "datasets[0].subject: 'sub-' matches nothing in 'a.nii'"),
        ({"subject": "("}, "it is not a regular expression"),
        ({"volume": "z"}, "datasets[0].volume: 'z' matches nothing"),
        ({"subjects": {"test": ["d"]}}, "datasets[0].subjects.test: no subject is called 'd'"),
        ({"subjects": {"test": ["a"], "val": ["a"]}}, "the subject 'a' is listed in both test and val"),
        ({"splits": {"train": 0.9, "test": 0.3}}, "the shares add up to 1.2, not to 1"),
        ({"splits": {"train": 1.0}}, "none is in split 'val'"),
        ({"splits": {"training": 1.0}}, "datasets[0].splits"),
        ({"each_volume": {"slices": [1]}}, "datasets[0].each_volume.slices"),
        ({"each_volume": {"slice": [1, 2]}}, "did you mean 'slices'?"),
        ({"each_volume": {"split": "test"}}, "every volume has its own split"),
        ({"prefix": "../"}, "datasets[0].prefix"),
        ({"kind": "globb"}, "datasets[0].kind: \"globb\" is not allowed; did you mean 'glob'?"),
        ({"kind": "bids"}, "datasets[0].path: is missing"),
    ],
)
def test_wrong_patterns_are_told(changes: dict[str, Any], words: str) -> None:
    touch("a.nii", "b.nii", "c.nii")
    assert words in mistakes_of({"kind": "glob", "pattern": "*.nii", "subject": r"^\w", **changes})


def test_few_subjects_without_a_split_are_explained() -> None:
    touch("a.nii")
    assert "datasets[].subjects" in mistakes_of({"kind": "glob", "pattern": "*.nii", "subject": r"^\w"})


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("data/sub-01_T1w.nii.gz", "sub-01_T1w"),
        ("IXI012-HH-1211-T1.nii.gz", "IXI012-HH-1211-T1"),
        ("Maus 3 (links).ome.tiff", "Maus-3-links"),
        ("v1.2_scan.nii", "v1-2_scan"),
        ("a/Größe.tif", "Gr-e"),
    ],
)
def test_a_volume_is_named_after_its_file(file: str, name: str) -> None:
    assert named_after(file) == name


def test_groups_of_an_expression_are_joined() -> None:
    assert captured(r"(\d+)_(\w)", "12_a") == "12-a" and captured(r"\d+", "x12") == "12" and captured("q", "x") is None


# archives


def test_the_members_of_an_archive_share_one_download() -> None:
    sources = {"tar": {"kind": "http", "url": "https://host/all.tar", "sha256": None, "licence": "CC BY"}}
    members = [f"T1/IXI00{index}-T1.nii.gz" for index in range(3)]
    dataset = {"kind": "archive", "source": "tar", "members": members, "subject": r"IXI\d+"}
    subjects = {"train": ["IXI000"], "val": ["IXI001"], "test": ["IXI002"]}
    run = run_of({**dataset, "subjects": subjects}, sources=sources)
    assert splits(run) == {"IXI000-T1": "train", "IXI001-T1": "val", "IXI002-T1": "test"}
    made = [run.sources[volume.origin] for volume in run.volumes]
    assert {getattr(source, "url", None) for source in made} == {"https://host/all.tar"}
    assert [source.file_name for source in made] == [f"IXI00{index}-T1.nii.gz" for index in range(3)]
    assert {source.licence for source in made} == {"CC BY"}


def test_wrong_members_are_told() -> None:
    dataset = {"kind": "archive", "source": "tr", "members": ["a.nii", "a.nii"], "subject": "a"}
    sources = {"tar": {"kind": "local", "path": "all.tar"}}
    assert "datasets[0].source: 'tr' is unknown; did you mean 'tar'?" in mistakes_of(dataset, sources=sources)
    assert "'a.nii' is listed more than once" in mistakes_of({**dataset, "source": "tar"}, sources=sources)
    assert "datasets[0].members" in mistakes_of({**dataset, "source": "tar", "members": ["a/.."]}, sources=sources)


# BIDS


IMAGES = (
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_acq-x_run-1_T1w.nii",
    "sub-03/anat/sub-03_T1w.nii",
)
BY_HAND = {"train": ["sub-01"], "val": ["sub-02"], "test": ["sub-03"]}


def test_the_images_of_a_bids_folder_carry_its_description() -> None:
    dataset = bids(
        *IMAGES, "sub-01/anat/sub-01_T2w.nii.gz", "sub-01/anat/sub-01_T1w.json", License="CC0", Authors=["A", "B"]
    )
    run = run_of({**dataset, "subjects": BY_HAND})
    assert splits(run) == {"sub-01_T1w": "train", "sub-02_ses-a_acq-x_run-1_T1w": "val", "sub-03_T1w": "test"}
    source = run.sources["sub-02_ses-a_acq-x_run-1_T1w"]
    assert isinstance(source, LocalSource)
    assert (source.path, source.bids, source.licence) == (f"ds/{IMAGES[1]}", "ds", "CC0")
    assert source.citation == "A, B. A set" and source.sidecars == []
    assert run.derivatives == {
        "sub-02/ses-a/anat/sub-02_ses-a_acq-x_run-1_desc-brainsr_T1w": "sub-02_ses-a_acq-x_run-1_T1w",
        "sub-03/anat/sub-03_desc-brainsr_T1w": "sub-03_T1w",
    }
    assert run.bids_links == {"ds": "raw"}


def test_labels_and_the_kind_of_image_are_chosen() -> None:
    files = [f"sub-{name}/ses-{session}/anat/sub-{name}_ses-{session}_T2w.nii" for name in "abc" for session in "12"]
    dataset = {**bids(*files), "suffix": "T2w", "subjects": {s: [f"sub-{n[0]}"] for s, n in ALL.items()}}
    assert len(run_of(dataset).volumes) == 6
    assert len(run_of({**dataset, "only": {"ses": ["2"], "sub": ["a", "b", "c"]}}).volumes) == 3
    text = mistakes_of({**dataset, "only": {"ses": ["3"], "rnu": ["1"]}})
    assert (
        "datasets[0].only.ses: no image has ses-3" in text and "datasets[0].only.rnu: no image has this entity" in text
    )
    assert "contains no image" in mistakes_of({**dataset, "suffix": "T1w"})
    assert "datasets[0].only.sub[0]" in mistakes_of({**dataset, "only": {"sub": ["../a"]}})


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"Name": None}, "Name: null is not allowed"),
        ({"BIDSVersion": 1.8}, "BIDSVersion: 1.8 is not allowed"),
        ({"Authors": "A and B"}, 'Authors: "A and B" is not allowed'),
    ],
)
def test_a_wrong_description_is_told(description: dict[str, Any], words: str) -> None:
    assert f"ds/dataset_description.json: {words}" in mistakes_of({**bids(*IMAGES, **description), "subjects": BY_HAND})


def test_two_results_of_one_name_are_refused() -> None:
    dataset = {**bids(*IMAGES), "subjects": BY_HAND}
    Path("other").symlink_to("ds")
    text = mistakes_of(dataset, {**dataset, "path": "other", "prefix": "o-"})
    assert "'sub-03_T1w' and 'o-sub-03_T1w': both results would be named sub-03/anat/sub-03_desc-brainsr_T1w" in text


@given(
    st.dictionaries(
        st.sampled_from(["ses", "acq", "run", "desc", "rec"]), st.text("abcXYZ019", min_size=1, max_size=5)
    ),
    st.sampled_from(["T1w", "FLAIR"]),
)
def test_names_come_apart_and_together(entities: dict[str, str], suffix: str) -> None:
    chain = {"sub": "07", **entities}
    name = "_".join(f"{key}-{label}" for key, label in chain.items()) + f"_{suffix}.nii.gz"
    parsed = parse(name)
    assert (parsed.entities, parsed.suffix, parsed.stem + parsed.extension) == (chain, suffix, name)
    folder = f"sub-07/ses-{entities['ses']}/anat" if "ses" in entities else "sub-07/anat"
    made = derivative_path(f"{folder}/{name}")
    assert made.startswith(folder) and check_place(f"{made}.nii.gz").entities["desc"].endswith("brainsr")


@pytest.mark.parametrize(
    "path",
    [
        "sub-01/anat/sub-02_T1w.nii.gz",
        "anat/sub-01_T1w.nii.gz",
        "sub-01/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_ses-a_T1w.nii.gz",
        "sub-01/anat/sub-01_sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_T1w.mgz",
        "sub-01/anat/sub-_T1w.nii.gz",
        "sub-01/anat/sub-01_T1w (copy).nii.gz",
    ],
)
def test_a_file_that_lies_elsewhere_than_its_name_says_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="name"):
        derivative_path(path)


# the run


def test_a_stage_is_handed_volumes_and_looks_nothing_up() -> None:
    dataset = {**bids(*IMAGES), "subjects": BY_HAND}
    run = run_of(dataset)
    text = run.model_dump_json()
    touch("ds/sub-04/anat/sub-04_T1w.nii")
    (Path("ds") / IMAGES[0]).unlink()
    assert read_config(text) == run
    Path("x.yaml").write_text(json.dumps({"run": "x", "volumes": [], "datasets": [dataset]}))
    with pytest.raises(UserError, match="'sub-01' has no volume: its folder contains no image"):
        read_config("x.yaml")


def test_reading_needs_nothing_that_snakemake_does_not_install() -> None:
    code = (
        "import sys\n"
        "for name in ('numpy', 'ancpbids', 'pandas', 'nibabel', 'pydicom', 'torch'): sys.modules[name] = None\n"
        "from pipeline.config.load import read_run\n"
        "run = read_run({'run': 'x', 'volumes': [], 'datasets': [{'kind': 'bids', 'path': 'ds', 'subjects': "
        f"{BY_HAND!r}}}]}})\n"
        "print(len(run.volumes), len(run.derivatives))\n"
    )
    bids(*IMAGES)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={"PYTHONPATH": str(CHECKOUT)}
    )
    assert result.stdout.split() == ["3", "2"], result.stderr


def test_a_subject_of_an_incomplete_line_is_not_mistaken_for_another() -> None:
    touch("a.nii")
    dataset = table("id|subject|split|path", "one|A1|train|a.nii", "two|A2|a.nii")
    text = mistakes_of({**dataset, "subjects": {"test": ["A2", "A3"]}})
    assert "'A2' has no volume: the line that names it is incomplete" in text
    assert "no subject is called 'A3'; choose one of A1" in text


def test_of_very_many_subjects_only_some_are_listed() -> None:
    names = [f"{index:05}" for index in range(2000)]
    touch("a.nii")
    dataset = table("id|subject|path", *(f"v{name}|{name}|a.nii" for name in names))
    text = mistakes_of({**dataset, "subjects": {"test": ["xyz"]}})
    assert "choose one of 00000, " in text and "and 1970 more" in text and len(text) < 1000
