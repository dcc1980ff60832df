"""What a BIDS folder may hold beside plain magnitude images: files to leave out, parts, micrographs, sidecars."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pathspec
import pytest
import tifffile
import zarr
from PIL import Image as PillowImage

from pipeline.config.bids.ignore import Ignored, parse_line, read_ignored
from pipeline.config.bids.names import derivative_path
from pipeline.config.bids.sidecars import forget_sidecars, pixel_size_um, read_sidecars, sidecars_of
from pipeline.config.families import result_suffix
from pipeline.config.load import read_run
from pipeline.config.run import Run
from pipeline.errors import UserError
from pipeline.formats import Part, format_of
from pipeline.provenance.bids import size_of
from pipeline.steps.derivatives import write_image
from tests.workflow.project import jobs, snakemake

SUBJECTS = {"train": ["sub-01"], "val": ["sub-02"], "test": ["sub-03"]}
HEADS = tuple(f"sub-{name}/anat/sub-{name}_T1w.nii.gz" for name in ("01", "02", "03"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bids(*images: str, **changes: Any) -> dict[str, Any]:
    """Make a data set of empty files and return its entry of the configuration."""
    for path in (Path("ds") / image for image in images):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Path("ds/dataset_description.json").write_text('{"Name": "A set", "BIDSVersion": "1.10.0"}')
    return {"kind": "bids", "path": "ds", "subjects": SUBJECTS, "splits": {}, **changes}


def run_of(dataset: dict[str, Any]) -> Run:
    return read_run({"run": "x", "volumes": [], "datasets": [dataset]})


def mistakes_of(dataset: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        run_of(dataset)
    return str(error.value)


def notes_of(dataset: dict[str, Any], caplog: pytest.LogCaptureFixture) -> str:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        run_of(dataset)
    return caplog.text


# .bidsignore

PATHS = (
    *("sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T1w_defaced.nii.gz", "sub-1[a]/anat/x.nii", "#odd"),
    *("sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz", "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii.gz", "sub-02/sub-02.json"),
    *("sub-99/anat/sub-99_T1w.nii.gz", "extra/sub-99/notes.txt", "!important.txt", "sub-03/micr/a/b/c.png", "trail "),
)
PATTERNS = (
    *("sub-99/", "*_defaced*", "/sub-99", "sub-99/anat", "anat/", "**/anat/*_T1w.nii.gz", "sub-02/**", "**/ses-a"),
    *("sub-02/**/anat", "sub-0[12]/", "sub-0[!1]/", "sub-0[^1]", r"sub-1\[a\]", "sub-0?/ses-*", "*.nii.gz", "*.nii"),
    *(
        "# sub-01",
        r"\#odd",
        r"\!important.txt",
        "trail\\ ",
        "sub-01 ",
        "sub-01/anat/",
        "**",
        "sub-03/*/b",
        "/*",
        "a/**/c.png",
    ),
    "*.nii.gz\n!sub-01_T1w.nii.gz",
    "sub-02/\n!sub-02/ses-b/anat/sub-02_ses-b_T1w.nii.gz",
    "sub-02/*\n!sub-02/ses-b",
    "/*\n!/sub-01\n\n",
)


@pytest.mark.parametrize("text", PATTERNS)
def test_a_bidsignore_means_what_git_takes_it_to_mean(text: str, here: Path) -> None:
    for path in map(here.joinpath, PATHS):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (here / ".bidsignore").write_text(text + "\n")
    (here / ".gitignore").write_text(text + "\n")
    ignored = read_ignored(here)
    found = {path for path in PATHS if ignored(path)}
    subprocess.run(["git", "init", "-q"], check=True)
    answer = subprocess.run(
        ["git", "-c", "core.quotePath=false", "check-ignore", "--no-index", "-z", "--stdin"],
        input="\0".join(PATHS), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found == set(answer.stdout.split("\0")) - {""}


def test_a_bidsignore_agrees_with_a_library_on_real_lines() -> None:
    lines = ["*_desc-*", "sub-*/ses-*/extra_data/", "**/*_bold.*", "!sub-05/**", "/phenotype", "sub-0[1-3]/*/*.bval"]
    spec = pathspec.GitIgnoreSpec.from_lines(lines)
    ignored = Ignored(tuple(pattern for line in lines if (pattern := parse_line(line))))
    paths = [
        f"sub-{name}/ses-1/{folder}/sub-{name}_{rest}"
        for name in ("01", "05", "09")
        for folder in ("extra_data", "func", "dwi")
        for rest in ("bold.nii.gz", "desc-x_T1w.nii", "dwi.bval", "T1w.nii.gz")
    ]
    assert [path for path in paths if ignored(path)] == [path for path in paths if spec.match_file(path)]


def test_what_a_data_set_ignores_is_no_volume_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    dataset = bids(*HEADS, "sub-99/anat/sub-99_T1w.nii.gz", "sub-01/anat/sub-01_copy (1)_T1w.nii.gz")
    Path("ds/.bidsignore").write_text("\ufeffsub-99/\r\n*copy*\r\n", encoding="utf-8")
    dataset["splits"] = {"train": 1.0}
    assert {volume.subject for volume in run_of(dataset).volumes} == {"sub-01", "sub-02", "sub-03"}
    assert "3 images taken; left out: 2 by .bidsignore" in notes_of(dataset, caplog)


# part, and other entities


def test_by_default_only_magnitudes_are_taken(caplog: pytest.LogCaptureFixture) -> None:
    parts = [f"sub-03/anat/sub-03_part-{part}_T1w.nii.gz" for part in ("mag", "phase", "real", "imag")]
    dataset = bids(*HEADS[:2], *parts)
    assert [volume.id for volume in run_of(dataset).volumes] == ["sub-01_T1w", "sub-02_T1w", "sub-03_part-mag_T1w"]
    text = notes_of(dataset, caplog)
    assert "1 part-phase, not magnitude (taken with only: {part: [phase]})" in text and "1 part-imag" in text
    both = {**dataset, "only": {"part": ["phase", None]}}
    assert [volume.id for volume in run_of(both).volumes] == ["sub-01_T1w", "sub-02_T1w", "sub-03_part-phase_T1w"]


def test_images_without_an_entity_are_chosen_by_null(caplog: pytest.LogCaptureFixture) -> None:
    dataset = bids(*HEADS, *(f"sub-01/anat/sub-01_{extra}_T1w.nii.gz" for extra in ("acq-x", "rec-norm", "echo-2")))
    assert len(run_of(dataset).volumes) == 6
    assert "differ in acq, echo, rec, and each becomes a volume" in notes_of(dataset, caplog)
    plain = {**dataset, "only": {"acq": [None], "rec": [None], "echo": [None]}}
    assert [volume.id for volume in run_of(plain).volumes] == ["sub-01_T1w", "sub-02_T1w", "sub-03_T1w"]
    assert caplog.text.count("differ in") == 1


def test_repeated_runs_and_sessions_need_no_remark(caplog: pytest.LogCaptureFixture) -> None:
    files = [f"sub-01/ses-{s}/anat/sub-01_ses-{s}_run-{r}_T1w.nii.gz" for s in "ab" for r in "12"]
    assert "differ" not in notes_of(bids(*HEADS[1:], *files), caplog)


@pytest.mark.parametrize("folder", ["derivatives", "sourcedata", "sub-01/derivatives", "sub-01/sourcedata", "code"])
def test_folders_beside_the_data_are_not_searched(folder: str) -> None:
    dataset = bids(*HEADS, f"{folder}/sub-07/anat/sub-07_T1w.nii.gz", f"{folder}/sub-01_desc-preproc_T1w.nii.gz")
    dataset["splits"] = {"train": 1.0}
    assert [volume.id for volume in run_of(dataset).volumes] == ["sub-01_T1w", "sub-02_T1w", "sub-03_T1w"]


def test_one_image_in_two_formats_is_refused() -> None:
    text = mistakes_of(bids(*HEADS, "sub-01/anat/sub-01_T1w.nii"))
    assert "'sub-01/anat/sub-01_T1w.nii.gz' would both be called 'sub-01_T1w'" in text and "in .bidsignore" in text


def test_files_that_nobody_asked_for_need_not_be_there() -> None:
    files = [f"sub-{n}/ses-{s}/anat/sub-{n}_ses-{s}_T1w.nii.gz" for n in ("01", "02", "03") for s in "ab"]
    dataset = bids(*files)
    gone = Path("ds") / files[1]
    gone.unlink()
    gone.symlink_to("../../../.git/annex/objects/gone")
    assert "datalad get" in mistakes_of(dataset)
    assert len(run_of({**dataset, "only": {"ses": ["a"]}}).volumes) == 3
    Path("ds/.bidsignore").write_text("ses-b/\n")
    assert len(run_of(dataset).volumes) == 3


# why a subject has no volume


def test_the_reason_is_told_why_a_subject_has_no_volume() -> None:
    dataset = bids(
        *HEADS,
        "sub-04/anat/sub-04_part-phase_T1w.nii.gz",
        "sub-05/anat/sub-05_T2w.nii.gz",
        "sub-06/ses-b/anat/sub-06_ses-b_T1w.nii.gz",
        "sub-99/anat/sub-99_T1w.nii.gz",
    )
    Path("ds/.bidsignore").write_text("sub-99/\n")
    Path("ds/participants.tsv").write_text("participant_id\tage\n" + "".join(f"sub-0{n}\t3\n" for n in range(1, 8)))
    wanted = [f"sub-{name}" for name in ("04", "05", "06", "07", "99", "1")]
    text = mistakes_of({**dataset, "subjects": {**SUBJECTS, "train": ["sub-01", *wanted]}, "only": {"ses": [None]}})
    for words in (
        "'sub-04' has no volume: its images are not magnitude but part-phase",
        "'sub-05' has no volume: its folder contains no image *_T1w.nii.gz",
        "'sub-06' has no volume: `only` leaves its images out",
        "'sub-07' has no volume: participants.tsv lists it, but it has no folder",
        "'sub-99' has no volume: .bidsignore leaves it out",
        "no subject is called 'sub-1'; did you mean 'sub-01'?",
    ):
        assert words in text
    assert text.count("did you mean") == 1


def test_labels_of_only_that_were_left_out_are_told() -> None:
    dataset = bids(*HEADS, "sub-99/anat/sub-99_T1w.nii.gz", "sub-05/anat/sub-05_T2w.nii.gz")
    Path("ds/.bidsignore").write_text("sub-99/\n")
    text = mistakes_of({**dataset, "only": {"sub": ["01", "02", "03", "99", "05", "3"]}})
    assert "datasets[0].only.sub: .bidsignore leaves out all images with sub-99" in text
    assert "datasets[0].only.sub: the folder of sub-05 contains no image *_T1w.nii.gz" in text
    assert "no image has sub-3; did you mean '03'?" in text
    Path("ds/.bidsignore").write_text("*\n")
    text = mistakes_of({**dataset, "subjects": {}})
    assert "contains no image" in text and "left out: 4 by .bidsignore" in text and "choose one of" not in text


def test_subjects_that_the_list_of_participants_lacks_are_named(caplog: pytest.LogCaptureFixture) -> None:
    dataset = bids(*HEADS)
    Path("ds/participants.tsv").write_text("participant_id\nsub-01\nsub-02\n")
    assert "participants.tsv does not list sub-03" in notes_of(dataset, caplog)


# microscopy


def picture(seed: int, planes: int = 1) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(20, 250, (planes, 40, 48), np.uint8)
    return pixels[0] if planes == 1 else pixels


def micrographs() -> dict[str, Any]:
    """Write a data set of a PNG, a TIFF, an OME-TIFF and an OME-Zarr of histology."""
    names = {name: f"sub-{name}/micr/sub-{name}_sample-A_stain-LFB_BF" for name in ("01", "02", "03", "04")}
    dataset = bids(*(f"{name}.json" for name in names.values()), suffix="BF")
    paths = {name: str(Path("ds") / stem) for name, stem in names.items()}
    PillowImage.fromarray(picture(1)).save(f"{paths['01']}.png")
    tifffile.imwrite(f"{paths['02']}.tif", picture(2))
    tifffile.imwrite(f"{paths['03']}.ome.tif", picture(3, 3), metadata={"axes": "ZYX"})
    group = zarr.open_group(f"{paths['04']}.ome.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=(2, 40, 48), chunks=(1, 40, 48), dtype="u1")[:] = picture(4, 2)
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
    group.attrs["multiscales"] = [
        {"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    ]
    Path("ds/BF.json").write_text('{"PixelSize": [500, 600], "PixelSizeUnits": "nm", "SampleStaining": "LFB"}')
    for name in ("01", "02"):
        Path(f"{paths[name]}.json").unlink()
    Path(f"{paths['03']}.json").write_text('{"PixelSize": [0.0005, 0.0006, 0.002], "PixelSizeUnits": "mm"}')
    Path(f"{paths['04']}.json").write_text('{"PixelSizeUnits": "um", "PixelSize": [0.5, 0.5]}')
    return {**dataset, "subjects": {"train": ["sub-01"], "val": ["sub-02"], "test": ["sub-03", "sub-04"]}}


def test_micrographs_are_read_with_the_size_of_their_sidecars(caplog: pytest.LogCaptureFixture) -> None:
    dataset = micrographs()
    text = notes_of(dataset, caplog)
    run = run_of(dataset)
    ids = [f"sub-{name}_sample-A_stain-LFB_BF" for name in ("01", "02", "03", "04")]
    assert [volume.id for volume in run.volumes] == ids
    assert [volume.voxel_um for volume in run.volumes] == [(0.5, 0.6, 0.5), (0.5, 0.6, 0.5), (0.5, 0.6, 2.0), None]
    assert "1 image has a PixelSize without z: the slice spacing is taken to equal that of columns" in text
    assert "1 image has a PixelSize without z: the size that the OME file states is taken" in text
    endings = [result_suffix(volume, run.sources) for volume in run.volumes]
    assert endings == [".png", ".ome.tiff", ".ome.tiff", ".ome.zarr.zip"]
    given = {**dataset, "each_volume": {"voxel_um": [1.0, 1.0, 4.0]}}
    assert {volume.voxel_um for volume in run_of(given).volumes} == {(1.0, 1.0, 4.0)}


def ome_tiff(path: Path, **sizes: Any) -> None:
    tifffile.imwrite(path, picture(3), metadata={"axes": "YX", **sizes})


def ome_zarr(path: Path, **axis: str) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.create_array("0", shape=(40, 48), chunks=(40, 48), dtype="u1")[:] = picture(4)
    scale = {"type": "scale", "scale": [0.3, 0.3]}
    axes = [{"name": name, "type": "space", **axis} for name in "yx"]
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}


STATED = {"PhysicalSizeX": 0.3, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.3, "PhysicalSizeYUnit": "µm"}


@pytest.mark.parametrize(
    ("extension", "write", "stated", "spacing", "warned"),
    [
        (".ome.tif", ome_tiff, {}, (0.004, 0.005), False),
        (".ome.btf", ome_tiff, {}, (0.004, 0.005), False),
        (".ome.tif", ome_tiff, STATED, (0.004, 0.005), True),
        (".ome.zarr", ome_zarr, {}, (0.004, 0.005), False),
        (".ome.zarr", ome_zarr, {"unit": "elephant"}, (0.004, 0.005), False),
        (".ome.zarr", ome_zarr, {"unit": "micrometer"}, (0.3, 0.3), False),
    ],
)
def test_an_ome_file_without_a_size_has_that_of_its_sidecar(
    extension: str, write: Any, stated: dict[str, str], spacing: Any, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"sub-{name}/micr/sub-{name}_sample-A_SEM{extension}" for name in ("01", "02", "03")]
    Path("ds").mkdir()
    Path("ds/SEM.json").write_text('{"PixelSize": [4, 5], "PixelSizeUnits": "nm"}')
    dataset = bids(*names, suffix="SEM")
    for name in names:
        (Path("ds") / name).unlink()
        write(Path("ds") / name, **stated)
    run = run_of(dataset)
    assert "3 images have a PixelSize without z" in notes_of(dataset, caplog)
    caplog.clear()
    path = Path("ds") / names[0]
    image = format_of(path).read(path, Part(voxel_um=run.volumes[0].voxel_um))
    assert image.spacing[:2] == pytest.approx(spacing) and image.unit == "um"
    assert ("voxel_um differs" in caplog.text) == warned


def test_a_stack_has_the_size_of_its_sidecar_after_extraction(here: Path) -> None:
    run = run_of(micrographs())
    volume = run.volume("sub-03_sample-A_stain-LFB_BF")
    path = getattr(run.sources[volume.origin], "path")  # noqa: B009 (a local source)
    image = format_of(Path(path)).read(Path(path), Part(voxel_um=volume.voxel_um))
    assert image.spacing == pytest.approx((0.5, 0.6, 2.0)) and image.unit == "um" and image.data.shape == (48, 40, 3)


@pytest.mark.parametrize("suffix", ["TEM", "SEM", "uCT", "2PE", "SPIM", "XPCT"])
@pytest.mark.parametrize("extension", [".png", ".tif", ".ome.tif", ".ome.btf"])
def test_every_kind_of_microscopy_is_found(suffix: str, extension: str) -> None:
    names = [f"sub-{n}/ses-1/micr/sub-{n}_ses-1_sample-B_run-1_chunk-2_{suffix}{extension}" for n in ("01", "02", "03")]
    run = run_of({**bids(*names), "suffix": suffix})
    assert len(run.volumes) == 3
    made = derivative_path(names[0])
    assert made == f"sub-01/ses-1/micr/sub-01_ses-1_sample-B_run-1_chunk-2_desc-brainsr_{suffix}"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"PixelSize": [0.1, 0.1], "PixelSizeUnits": None}, "PixelSizeUnits: null must be mm, um or nm"),
        ({"PixelSize": [0.1, 0.1], "PixelSizeUnits": "inch"}, 'PixelSizeUnits: "inch"'),
        ({"PixelSize": 0.1, "PixelSizeUnits": "um"}, "PixelSize: 0.1 must be [x, y] or [x, y, z]"),
        ({"PixelSize": [0.1, 0], "PixelSizeUnits": "um"}, "PixelSize: [0.1, 0]"),
        ({"PixelSize": [True, 1], "PixelSizeUnits": "um"}, "PixelSize: [true, 1]"),
        ({"PixelSize": ["1", "1"], "PixelSizeUnits": "um"}, "PixelSize"),
        ([1], "is not a sidecar"),
    ],
)
def test_a_size_that_cannot_be_meant_is_refused_with_its_file(values: Any, words: str) -> None:
    dataset = micrographs()
    file = "ds/sub-01/micr/sub-01_sample-A_stain-LFB_BF.json"
    Path(file).write_text(json.dumps(values))
    text = mistakes_of(dataset)
    assert words in text and file in text


def test_units_are_converted_without_rounding() -> None:
    for unit, factor in (("mm", 1000), ("um", 1), ("µm", 1), ("nm", 0.001)):
        size = pixel_size_um({"PixelSize": [4, 4.2, 30], "PixelSizeUnits": unit})
        assert size == tuple(pytest.approx(value * factor, rel=1e-12) for value in (4, 4.2, 30))
    assert pixel_size_um({"PixelSize": [4, 4], "PixelSizeUnits": "nm"}) == (0.004, 0.004)
    assert pixel_size_um({}) is None


def test_sidecars_are_inherited_by_the_entities_of_an_image() -> None:
    bids("sub-01/ses-a/anat/sub-01_ses-a_acq-x_T1w.nii.gz")
    for place, values in {
        "T1w.json": {"a": 0, "b": 0, "c": 0, "d": 0},
        "acq-x_T1w.json": {"b": 1},
        "acq-y_T1w.json": {"d": "of another"},
        "T2w.json": {"d": "of another"},
        "sub-01/sub-01_T1w.json": {"c": 2},
        "sub-01/ses-a/anat/sub-01_ses-a_acq-x_T1w.json": {"d": 3},
    }.items():
        (Path("ds") / place).write_text(json.dumps(values))
    forget_sidecars()
    found = sidecars_of("ds", "sub-01/ses-a/anat/sub-01_ses-a_acq-x_T1w.nii.gz")
    assert read_sidecars(found) == {"a": 0, "b": 1, "c": 2, "d": 3}
    assert len(found) == 4


def test_results_get_the_names_and_sizes_that_bids_gives_them(here: Path) -> None:
    micrographs()
    store = here / "ds/sub-04/micr/sub-04_sample-A_stain-LFB_BF.ome.zarr"
    packed = here / "result.ome.zarr.zip"
    module = format_of(store)
    module.write(packed, module.read(store, Part()))
    write_image(packed, here / "made.ome.zarr")
    assert np.array_equal(np.asarray(zarr.open_group(here / "made.ome.zarr", mode="r")["0"]), picture(4, 2))
    write_image(here / "ds/sub-01/micr/sub-01_sample-A_stain-LFB_BF.png", here / "made.png")
    assert np.array_equal(np.asarray(PillowImage.open(here / "made.png")), picture(1))
    assert size_of(here / "made.png", [0.5, 0.6, 0.5], {"PixelSize": [500, 600]}) == {
        "PixelSize": [0.5, 0.6],
        "PixelSizeUnits": "um",
    }
    stated = {"PixelSize": [5, 5], "PixelSizeUnits": "nm", "EchoTime": 1}
    assert size_of(here / "made.png", [], stated) == {"PixelSize": [5, 5], "PixelSizeUnits": "nm"}


def test_the_workflow_plans_micrographs_with_the_names_of_bids(here: Path) -> None:
    network = {"blocks": 1, "features": 8, "growth": 4, "trained_on": "nothing"}
    values = {
        "run": "slices",
        "volumes": [],
        "datasets": [micrographs()],
        "sources": {"small": {"kind": "local", "path": "small.safetensors", "network": network}},
        "train": {"initial_weights": "small"},
        "infer": {"deliver": "bicubic"},
    }
    Path("small.safetensors").touch()
    Path("slices.json").write_text(json.dumps(values))
    planned = snakemake(here, "--configfile", here / "slices.json", "--dry-run", "--printshellcmds")
    assert jobs(planned)["derivatives"] == 1
    for subject in ("02", "03", "04"):
        assert f"sub-{subject}/micr/sub-{subject}_sample-A_stain-LFB_desc-brainsr_BF" in planned.stdout + planned.stderr


@pytest.mark.parametrize(("suffix", "words"), [("phase1", "contain phases"), ("dseg", "contain labels"), ("T1w", "")])
def test_kinds_of_images_that_are_no_intensities_are_named(
    suffix: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    files = [f"sub-{name}/anat/sub-{name}_{suffix}.nii.gz" for name in ("01", "02", "03")]
    text = notes_of(bids(*files, suffix=suffix), caplog)
    assert words in text and bool(text) == bool(words)
