"""`brainsr bids` on a BIDS data set as its users have them, to derivatives that the official validator accepts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from pipeline.models.generator import Generator, Shape
from pipeline.models.weights import save_generator
from tests.helpers import CHECKOUT, Tags, synthetic_head, the_message, without_privileges, write_nifti
from tests.interruption import PATIENCE_S, run_killed
from tests.workflow.project import PROGRAMS, environment

IMAGES = (
    "sub-01/ses-a/anat/sub-01_ses-a_run-1_T1w.nii.gz",
    "sub-01/ses-a/anat/sub-01_ses-a_run-2_T1w.nii",
    "sub-01/ses-b/anat/sub-01_ses-b_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz",
)
ABSENT = "sub-02/ses-a/anat/sub-02_ses-a_run-2_T1w.nii.gz"
DAMAGED = "sub-03/anat/sub-03_T1w.nii.gz"
BASELINE = ("--model", "bspline3", "--factor", "2", "--device", "cpu", "--cores", "2")


def result_of(path: str, extension: str = ".nii.gz", label: str = "sr") -> str:
    return path.partition(".")[0].replace("_T1w", f"_desc-{label}_T1w") + extension


def make_data(root: Path) -> Path:
    """Write a data set with everything that trips readers; nobody may write to it."""
    for seed, path in enumerate((*IMAGES, "sourcedata/sub-01/anat/sub-01_T1w.nii.gz", "derivatives/x/sub-09_T1w.nii")):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_nifti(root / path, np.rint(synthetic_head((24, 28, 20), seed)).astype(np.int16))
    (root / ABSENT).symlink_to("../../../.git/annex/objects/absent.nii.gz")
    (root / DAMAGED).parent.mkdir(parents=True)
    (root / DAMAGED).write_bytes(b"no image")
    (root / IMAGES[0].replace(".nii.gz", ".json")).write_text('{"SkullStripped": true, "EchoTime": 0.003}')
    (root / "participants.tsv").write_text("participant_id\nsub-01\nsub-02\nsub-03\nsub-04\n", encoding="utf-8-sig")
    facts = {"Name": "Three heads", "BIDSVersion": "1.8.0", "License": "CC0", "HowToAcknowledge": "Doe, Heads, 2020"}
    (root / "dataset_description.json").write_text(json.dumps(facts))
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    return root


def allow_writing(data: Path) -> None:
    for path in (data, *data.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)


def command(*arguments: str | Path) -> list[str]:
    return [*without_privileges(), sys.executable, "-m", "pipeline", "bids", *map(str, arguments)]


def variables() -> dict[str, str]:
    return {**environment(), "PYTHONPATH": str(CHECKOUT)}


def bids(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a user whom permissions bind."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=variables(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def times(output: Path) -> dict[str, int]:
    return {
        path.relative_to(output).as_posix(): path.stat().st_mtime_ns
        for path in output.rglob("*")
        if path.is_file() and not path.is_relative_to(output / ".snakemake") and path.name != "participant.json"
    }


def validate(output: Path) -> Sequence[str]:
    """Return the errors that the official validator of BIDS finds."""
    program = shutil.which("bids-validator-deno", path=f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")
    assert program, "make setup-dev installs the validator"
    done = subprocess.run([program, str(output), "--format", "json"], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = [f"{one['code']} {one.get('location', '')}" for one in issues if one["severity"] == "error"]
    assert done.returncode == 0 or errors, done.stderr
    return errors


@dataclass(frozen=True)
class History:
    """Calls of the command on one data set, and what they wrote.

    Attributes:
        folder: holds the data set, "my data", and the derivatives after the last call, "out".
        attempted: the call after one that was killed; two images cannot be restored.
        grouped: the level group.
        first: the derivatives after these calls.
        completed: the call after the two images were repaired.
        repeated: the same once more.
        times: modification times of the derivatives before the repair, after it, and in the end.
    """

    folder: Path
    attempted: subprocess.CompletedProcess[str]
    grouped: subprocess.CompletedProcess[str]
    first: Path
    completed: subprocess.CompletedProcess[str]
    repeated: subprocess.CompletedProcess[str]
    times: tuple[dict[str, int], ...]


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> Iterator[History]:
    folder = tmp_path_factory.mktemp("a project")
    data, output, first = make_data(folder / "my data"), folder / "out", folder / "first"
    call = ("my data", "out", "participant", *BASELINE)
    run_killed(command(*call), file="*_desc-sr_T1w.json", folder=folder, environment=variables())
    attempted = bids(folder, *call)
    grouped = bids(folder, "my data", "out", "group", "--cores", "1")
    shutil.copytree(output, first)
    before = times(output)
    allow_writing(data)
    for path in (ABSENT, DAMAGED):
        (data / path).unlink()
        write_nifti(data / path, np.rint(synthetic_head((24, 28, 20), 9)).astype(np.int16))
    completed = bids(folder, *call)
    after = times(output)
    repeated = bids(folder, *call)
    yield History(folder, attempted, grouped, first, completed, repeated, (before, after, times(output)))
    allow_writing(data)


def test_all_images_that_can_be_restored_are_and_the_others_are_named(history):
    assert history.attempted.returncode == 1 and "Traceback" not in history.attempted.stderr
    # Snakemake has shown the log of the failed job, whose message begins alike.
    message = history.attempted.stderr.rpartition("\nerror: ")[2]
    assert message.startswith("2 of 6 images were not restored:")
    assert f"{ABSENT}: " in message and "datalad get" in message
    assert f"{DAMAGED}: " in message
    assert "sub-04: participants.tsv lists it, but it has no folder" in history.attempted.stderr
    made = {path.relative_to(history.first).as_posix() for path in history.first.rglob("*_T1w.nii.gz")}
    assert made == {result_of(path) for path in IMAGES}


def test_results_enlarge_their_sources_and_sidecars_describe_them(history):
    folder = history.folder
    for path in IMAGES:
        source, made = nib.load(folder / "my data" / path), nib.load(history.first / result_of(path))  # pyright: ignore
        assert made.shape == (48, 56, 20) and made.get_data_dtype() == source.get_data_dtype()  # pyright: ignore
        sidecar = json.loads((history.first / result_of(path, ".json")).read_text())
        assert sidecar["Sources"] == [f"bids:raw:{path}"] and sidecar["Method"] == "bspline3"
        assert sidecar["Factors"] == [2, 2, 1] and sidecar["VoxelSizeMillimetres"] == [0.5, 0.5, 1]
        assert 0 <= sidecar["DifferenceBeyondNoise"] < 0.06 and 0 < sidecar["NoiseSigma"] < 0.2
        assert sidecar["SkullStripped"] == (path == IMAGES[0]) and "EchoTime" not in sidecar


def test_the_data_set_of_derivatives_is_valid_and_names_its_source(history):
    folder = history.folder
    described = json.loads((history.first / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative" and described["License"] == "CC0"
    assert described["GeneratedBy"][0]["Name"] == "BrainSR" and described["GeneratedBy"][0]["Version"]
    assert described["DatasetLinks"]["raw"] == (folder / "my data").as_uri()
    assert validate(history.first) == []


def test_each_subject_has_a_page_with_its_failures_and_the_methods_cite_the_data(history):
    pages = {subject: (history.first / f"{subject}.html").read_text() for subject in ("sub-01", "sub-02", "sub-03")}
    images = [sum(tag == "img" for tag, _ in Tags(page).found) for page in pages.values()]
    assert images == [15, 5, 0]  # each of the images has two whole slices and three details
    assert "datalad get" in pages["sub-02"] and Path(DAMAGED).name in pages["sub-03"]
    methods = (history.first / "logs/CITATION.md").read_text()
    assert "4 images of 2 subjects of the data set Three heads [1]" in methods and "1. Doe, Heads, 2020" in methods
    assert "B-spline" in methods and "@article" in (history.first / "logs/CITATION.bib").read_text()


def test_a_repaired_data_set_is_completed_and_then_nothing_is_repeated(history):
    assert history.completed.returncode == 0, history.completed.stderr
    before, after, last = history.times
    assert {result_of(path) for path in (ABSENT, DAMAGED)} <= after.keys() - before.keys()
    assert all(after[result_of(path)] == before[result_of(path)] for path in IMAGES)
    assert after["sub-02.html"] > before["sub-02.html"] and after["sub-01.html"] == before["sub-01.html"]
    assert history.repeated.returncode == 0 and last == after
    assert "Nothing to be done" in history.repeated.stdout + history.repeated.stderr


def test_the_level_group_writes_the_page_of_all_subjects(history):
    assert "2 of 6 images were not restored" in the_message(history.grouped, after_progress=True)
    page = (history.first / "index.html").read_text()
    links = {dict(attributes).get("href") for tag, attributes in Tags(page).found if tag == "a"}
    assert {"sub-01.html", "sub-02.html"} <= links and "datalad get" in page


def test_networks_write_uncertainty_maps_that_are_valid_too(history, tmp_path):
    folder = history.folder
    torch.manual_seed(3)
    network = tmp_path / "generator.safetensors"
    save_generator(network, Generator(Shape.from_json({"blocks": 1, "features": 8, "growth": 4})))
    labels = ("--participant-label", "sub-01", "--session-label", "b")
    done = bids(
        tmp_path, folder / "my data", "out", "participant", *labels, "--model", network.name, "--uncertainty", "--force"
    )
    assert done.returncode == 0, done.stderr
    output = tmp_path / "out"
    made, uncertainty = (nib.load(output / result_of(IMAGES[2], label=label)) for label in ("sr", "uncertainty"))
    assert made.shape == uncertainty.shape == (96, 112, 20)  # pyright: ignore
    assert np.asanyarray(uncertainty.dataobj).min() >= 0  # pyright: ignore
    sidecar = json.loads((output / result_of(IMAGES[2], ".json", "uncertainty")).read_text())
    assert sidecar["Description"].startswith("Uncertainty map") and sidecar["WeightsSha256"]
    assert [path.name for path in output.glob("sub-*/ses-*")] == ["ses-b"]
    assert validate(output) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["my data", "my data", "participant"], "OUTPUT_DIR is BIDS_DIR"),
        (["my data", "my data/sub-01/out", "participant"], "is inside the raw data"),
        (["my data", "read-only/out", "participant"], "cannot be written to"),
        (["my data", "other", "participant"], "contains another data set"),
        (["other", "new", "participant"], "contains no image sub-*/**/*_T1w.nii.gz or .nii"),
        (["no such folder", "new", "participant"], "there is no folder"),
        (["my data", "new", "participant", "--suffix", "FLAIR"], "contains no image sub-*/**/*_FLAIR.nii.gz or .nii"),
        (["my data", "new", "participant", "--participant-label", "99"], "--participant-label: no image has sub-99"),
        (["my data", "new", "participant", "--session-label", "c"], "--session-label: no image has ses-c"),
        (["my data", "new", "participant", "--model", "mri-x99"], "there is no file, network or baseline 'mri-x99'"),
        (
            ["my data", "new", "participant", "--model", "bspline3", "--uncertainty"],
            "have no uncertainty map",
        ),
        (["my data", "new", "group"], "contains no restored image; run the level participant first"),
    ],
)
def test_a_mistake_gives_one_message(history, arguments, words):
    folder = history.folder
    other = folder / "other/dataset_description.json"
    other.parent.mkdir(exist_ok=True)
    other.write_text('{"Name": "x", "BIDSVersion": "1.8.0", "GeneratedBy": [{"Name": "fMRIPrep"}]}')
    (folder / "read-only").mkdir(mode=0o555, exist_ok=True)
    assert words in the_message(bids(folder, *arguments), after_progress=True)
