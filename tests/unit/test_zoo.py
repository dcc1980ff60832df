"""Networks that ship: added by the real code to a temporary folder, found and chosen by the command line."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import tifffile
import torch
import yaml
from PIL import Image as Picture

from pipeline.__main__ import main
from pipeline.config.demo import DEMO
from pipeline.config.known import known_sources
from pipeline.config.load import read_run, read_yaml
from pipeline.config.shipped import shipped_networks
from pipeline.errors import UserError
from pipeline.files import sha256_of
from pipeline.formats import Part, format_of
from pipeline.inference.choice import choose_weights
from pipeline.inference.onnx_export import largest_difference
from pipeline.models.calibration import Calibration, write_calibration
from pipeline.models.error_intervals import ErrorIntervals, LevelScale
from pipeline.models.record import NetworkRecord, TrainingDomain
from pipeline.models.weights import load_generator, read_safetensors, save_generator
from pipeline.models.zoo import checked_weights
from pipeline.models.zoo.__main__ import app
from pipeline.sources.download_record import read_download
from pipeline.tables.network_gains import NETWORK_GAINS, NetworkGain
from tests.helpers import CHECKOUT, load_nifti, ras_affine, run_step, synthetic_head, write_nifti
from tests.small_training import tiny_generator

HEAD = (24, 28, 20)
GAINS = (
    NetworkGain("T1w", 2, 2, 1, 2.5, 0.0, 0.1, 8, "total_variation", -0.2, 0.001, -0.3, -0.1),
    NetworkGain("FLAIR", 2, 2, 1, 2.5, 0.0, 0.1, 1, "zerofill", 1.0, 0.04),
    NetworkGain("any", 2, 2, 3, 4, 0.0, 0.1, 8, "zerofill", 1.0, 0.04, 0.8, 1.2),
)


def ship(
    folder: Path, name: str, *more: str, factor: int = 2, data_consistency: bool = True, initial: str = "", **changes
) -> None:
    """Add a network with random weights to the networks that ship."""
    network = tiny_generator(factor=factor, **changes)
    domain = TrainingDomain(noise_sigma=(0.0, 0.06), voxel_mm=(1.0, 2.5), foreground_quantiles=((0.9, 1.0),))
    direction = "through_plane" if "along" in changes else "in_plane"
    network.record = NetworkRecord(direction=direction, domain=domain)
    method = folder / "results" / name / "models" / "rrdb_l1"
    method.mkdir(parents=True, exist_ok=True)
    save_generator(method / "generator.safetensors", network)
    (method / "model_card.md").write_text("# rrdb_l1\n\n- Recipe: a test\n")
    run = copy.deepcopy(DEMO)
    run["infer"] = {**run.get("infer", {}), "data_consistency": data_consistency}
    if initial:
        run["volumes"] = [one for one in run["volumes"] if one["split"] in ("train", "val")]
        run["train"] = {**run.get("train", {}), "initial_weights": initial}
        run["degrade"] = {**run.get("degrade", {}), "factor": factor}
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    NETWORK_GAINS.write(folder / "gains.csv", GAINS)
    texts = ["--purpose", "For tests.", "--licence", "CC0", "--citation", "Nobody, 2026", "--trained-on", "one head"]
    texts += [] if "--modality" in more else ["--modality", "mri"]
    files = ["--method", method, "--config", folder / "run.yaml", "--gains", folder / "gains.csv"]
    app([name, *map(str, files), *texts, *more], exit_on_error=False)


@pytest.fixture
def zoo(tmp_path, monkeypatch) -> Path:
    """A folder with one in-plane network, which takes the place of the networks that ship."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setenv("BRAINSR_ZOO", str(folder))
    ship(tmp_path, "mri-x2")
    return folder


def scan(path: Path, spacing: tuple[float, float, float] = (2.0, 2.0, 2.0)) -> Path:
    return write_nifti(path, synthetic_head(HEAD), ras_affine(spacing))


def mistake(capsys, *arguments: str | Path) -> str:
    """Run apply, which must fail with one message, and return it."""
    assert main(["apply", *map(str, arguments)]) == 1
    (message,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return message


def test_what_ships_is_half_precision_with_card_and_gains(zoo, tmp_path, capsys):
    weights = read_safetensors(zoo / "mri-x2.safetensors")
    original = read_safetensors(tmp_path / "results/mri-x2/models/rrdb_l1/generator.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    loaded = load_generator(checked_weights("mri-x2"))
    assert loaded.record.direction == "in_plane"
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, original[name].half().float())
    card = (zoo / "mri-x2.md").read_text()
    assert "pycortex-s1. Licence: BSD-2-Clause" in card
    assert "- Recipe: a test" in card
    assert "| FLAIR | 2 | 1 to 2.5 mm | 0 to 10 % | 1 | +1.00 | +0.040 | zerofill |" in card
    assert NETWORK_GAINS.frame(shipped_networks()["mri-x2"].gains).equals(NETWORK_GAINS.frame(GAINS))
    assert main(["networks"]) == 0
    listed = capsys.readouterr().out
    assert all(words in listed for words in ("mri-x2\n", "For tests.", "in-plane, factor 2", "CC0", "gain, dB"))
    assert "-0.20 " in listed
    # New gains change table and card, and nothing else.
    sections = NetworkGain("any", 3.2, 4.8, 32e-6, 48e-6, 0.01, 0.03, 1, "total_variation", 0.5, 0.01)
    NETWORK_GAINS.write(tmp_path / "gains.csv", [sections])
    app(["mri-x2", "--gains", str(tmp_path / "gains.csv")], exit_on_error=False)
    assert NETWORK_GAINS.frame(shipped_networks()["mri-x2"].gains).equals(NETWORK_GAINS.frame([sections]))
    changed = (zoo / "mri-x2.md").read_text()
    assert "| any | 3.2 to 4.8 | 32 to 48 nm | 1 to 3 % | 1 | +0.50 | +0.010 | total_variation |" in changed
    assert [line for line in changed.splitlines() if not line.startswith("| ")] == [
        line for line in card.splitlines() if not line.startswith("| ")
    ]
    checked_weights("mri-x2")


def test_the_card_of_a_network_that_continues_another_has_the_training_of_both(zoo, tmp_path):
    first = checked_weights("mri-x2")
    digests = [sha256_of(first)]
    for seed in (1, 2):
        ship(tmp_path, "mri-x2", initial="mri-x2", seed=seed)
        digests.append(sha256_of(first))
    card = (zoo / "mri-x2.md").read_text()
    own, *earlier = card.split("## Training of the initial network, mri-x2 with the SHA-256 ")
    assert digests[2] in own
    assert [text.splitlines()[0] for text in earlier] == [digests[1], digests[0]]
    assert all("- Recipe: a test" in text for text in (own, *earlier))


def test_the_calibration_ships_with_the_weights_if_it_fits_what_apply_does(zoo, tmp_path):
    generator, path = tmp_path / "results/mri-x2/models/rrdb_l1/generator.safetensors", tmp_path / "calibration.json"
    intervals = ErrorIntervals(intercept=-3, terms=(), scales=(LevelScale(0.9, 1.5),), subjects=("a",), volumes=("a",))
    calibration = Calibration(method="rrdb_l1", generator_sha256=sha256_of(generator), intervals=intervals)
    write_calibration(path, calibration)
    with pytest.raises(UserError, match=r"with data consistency, but .* set infer.data_consistency: false"):
        ship(tmp_path, "mri-x2", "--calibration", str(path))
    ship(tmp_path, "mri-x2", "--calibration", str(path), data_consistency=False)
    assert load_generator(checked_weights("mri-x2")).record.error_intervals == intervals
    assert (
        "90 % prediction interval of each voxel, calibrated on the validation persons a."
        in (zoo / "mri-x2.md").read_text()
    )
    # Thick slices have a known forward model: networks of any ratio are applied with data consistency.
    any_ratio = {"architecture": "fast_edsr", "factor": 1, "along": "columns", "slice_maps": True}
    ship(tmp_path, "mri-thick", **any_ratio)
    thick = tmp_path / "results/mri-thick/models/rrdb_l1/generator.safetensors"
    write_calibration(path, calibration.model_copy(update={"generator_sha256": sha256_of(thick)}))
    with pytest.raises(UserError, match=r"without data consistency, but .* set infer.data_consistency: true"):
        ship(tmp_path, "mri-thick", "--calibration", str(path), data_consistency=False, **any_ratio)
    ship(tmp_path, "mri-thick", "--calibration", str(path), **any_ratio)
    assert load_generator(checked_weights("mri-thick")).record.error_intervals == intervals
    write_calibration(path, calibration.model_copy(update={"generator_sha256": "0" * 64}))
    with pytest.raises(UserError, match="belongs to another network"):
        ship(tmp_path, "mri-x2", "--calibration", str(path), data_consistency=False)


def test_a_network_is_chosen_by_the_image_and_says_where_it_does_not_help(zoo, tmp_path, caplog, capsys):
    caplog.set_level("INFO")
    for name in ("sub-01_T1w", "sub-01_FLAIR"):
        output = tmp_path / f"sr_{name}.nii.gz"
        path = scan(tmp_path / f"{name}.nii.gz")
        assert main(["apply", str(path), "--output", str(output), "--no-uncertainty", "--force"]) == 0
        assert load_nifti(output).shape == (48, 56, 20)
    messages = [record.getMessage() for record in caplog.records]
    chosen = "network mri-x2 (in-plane, factor 2; trained on one head), since this is a scan without thick slices"
    assert sum(chosen in one for one in messages) == 2
    (refuted,) = [one for one in messages if "showed no gain" in one]
    assert refuted.startswith("sub-01_T1w.nii.gz")
    assert refuted.endswith("--model total_variation --factor 2")
    assert any("FLAIR" in one and "measured gain" in one and "+1.00 dB" in one for one in messages)
    assert any("contrast is unusual: the 10 % quantile" in one for one in messages)
    ship(tmp_path, "mri-x2", blocks=2)
    ship(tmp_path, "mri-x2-fast", blocks=1)
    assert choose_weights(format_of(path).read(path, Part()), path.name).name == "mri-x2"
    assert caplog.messages[-1].endswith("for much shorter computation: --model mri-x2-fast")
    thick = scan(tmp_path / "thick.nii.gz", (1.0, 1.0, 4.0))
    message = mistake(capsys, thick)
    assert "thick slices" in message and "--model total_variation" in message
    ship(tmp_path, "mri-thick", along="columns")
    output = tmp_path / "sr_thick.nii.gz"
    assert main(["apply", str(thick), "--output", str(output), "--no-uncertainty", "--force"]) == 0
    assert load_nifti(output).shape == (24, 28, 40)


def stack(path: Path, pixel_um: float) -> Path:
    """Write a stack without anatomical axes, whose sections are four times thicker than their pixels."""
    data = np.moveaxis((synthetic_head(HEAD) / 5).astype(np.uint8), (0, 2), (2, 0))
    facts = {"axes": "ZYX", "PhysicalSizeX": pixel_um, "PhysicalSizeY": pixel_um, "PhysicalSizeZ": 4 * pixel_um}
    tifffile.imwrite(path, data, photometric="minisblack", metadata=facts)
    return path


def test_the_network_of_electron_micrographs_is_chosen_by_the_voxel_size(zoo, tmp_path, caplog, capsys):
    caplog.set_level("INFO")
    sections = stack(tmp_path / "em.ome.tif", 0.01)
    message = mistake(capsys, sections)
    assert "is a stack of electron micrographs, by its voxel size of 10 x 10 x 40 nm; no network for such" in message
    assert "networks that ship: mri-x2" in message and "without a network: --model total_variation" in message
    any_ratio = {"architecture": "fast_edsr", "factor": 1, "along": "columns", "slice_maps": True}
    ship(tmp_path, "em-isotropic", "--modality", "micrograph", **any_ratio)
    output = tmp_path / "em-sr.ome.tif"
    assert main(["apply", str(sections), "--output", str(output), "--no-uncertainty", "--force"]) == 0
    with tifffile.TiffFile(output) as found:
        assert found.series[0].shape == (80, 28, 24)
        assert 'PhysicalSizeZ="0.01"' in (found.ome_metadata or "")
    assert (
        "network em-isotropic (through-plane, to isotropic voxels; trained on one head), since this is" in caplog.text
    )
    assert "its voxels measure 40 nm along the enlarged axes; the network was trained on 1 to 2.5 mm" in caplog.text
    # Planes of a light microscope, a single section, and a stack without a voxel size get no network of EM.
    light = mistake(capsys, stack(tmp_path / "light.ome.tif", 0.1))
    assert "is a micrograph or picture" in light
    tifffile.imwrite(tmp_path / "unknown.tif", np.zeros((4, 30, 30), np.uint8), photometric="minisblack")
    assert "is a micrograph or picture" in mistake(capsys, tmp_path / "unknown.tif")


def test_a_network_that_ships_is_exported_with_its_description(zoo, tmp_path, caplog):
    caplog.set_level("INFO")
    path = tmp_path / "x2.onnx"
    assert main(["export", "--model", "mri-x2", "--format", "onnx", "--output", str(path)]) == 0
    assert "ONNX Runtime differs from torch by at most" in caplog.text
    described = {one.key: one.value for one in onnx.load(path).metadata_props}
    assert described["name"] == "mri-x2"
    assert described["licence"] == "CC0"
    assert described["enlargement"] == '{"rows": 2, "columns": 2}'
    network = load_generator(checked_weights("mri-x2")).eval()
    difference = largest_difference(path.read_bytes(), network)
    assert difference is not None
    assert difference < 1e-5
    with torch.no_grad():
        next(network.parameters()).mul_(1.5)
    different = largest_difference(path.read_bytes(), network)
    assert different is not None
    assert different > 1e-4


def test_mistakes_name_what_there_is(zoo, tmp_path, capsys):
    path = scan(tmp_path / "scan.nii.gz")
    message = mistake(capsys, path, "--model", "mri-x3")
    assert "'mri-x3'; the networks that ship are: mri-x2; the baselines are: bicubic, " in message
    assert "factor of a network is fixed" in mistake(capsys, path, "--model", "mri-x2", "--factor", "2")
    Picture.fromarray(np.uint8(synthetic_head(HEAD)[:, :, 10] / 5)).save(tmp_path / "cells.png")
    assert "is a micrograph or picture" in mistake(capsys, tmp_path / "cells.png")
    weights = zoo / "mri-x2.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    message = mistake(capsys, path)
    assert str(weights) in message and "damaged: expected SHA-256" in message
    assert not list(tmp_path.glob("*_sr*"))


def test_the_number_of_passes_can_be_chosen(tmp_path, capsys):
    path, found = scan(tmp_path / "scan.nii.gz"), {}
    for recorded, options in ((4, ["--no-uncertainty"]), (4, ["--passes", "1"]), (1, ["--no-uncertainty"])):
        network = tiny_generator(factor=2, blocks=2)
        network.record = NetworkRecord.model_validate({"direction": "in_plane", "self_ensemble": recorded})
        save_generator(tmp_path / "generator.safetensors", network)
        output = tmp_path / f"{recorded}-{options[-1]}.nii.gz"
        arguments = [str(path), "--model", str(tmp_path / "generator.safetensors"), "--output", str(output), *options]
        assert main(["apply", *arguments, "--force"]) == 0
        found[recorded, options[-1]] = load_nifti(output).get_fdata()
    assert np.array_equal(found[4, "1"], found[1, "--no-uncertainty"])
    assert not np.array_equal(found[4, "1"], found[4, "--no-uncertainty"])
    assert not list(tmp_path.glob("*.uncertainty.*"))
    message = mistake(capsys, path, "--model", "least_squares", "--factor", "2", "--passes", "1")
    assert "--passes applies to networks; least_squares is a baseline" in message


def test_a_baseline_enlarges_within_the_slices(tmp_path, capsys):
    path = scan(tmp_path / "scan.nii.gz")
    assert "--factor 2" in mistake(capsys, path, "--model", "least_squares")
    assert main(["apply", str(path), "--model", "least_squares", "--factor", "2"]) == 0
    found = load_nifti(tmp_path / "scan_sr.nii.gz")
    assert found.shape == (48, 56, 20)
    means = found.get_fdata().reshape(24, 2, 28, 2, 20).mean(axis=(1, 3))
    assert np.abs(means - synthetic_head(HEAD)).mean() < 15
    colours = np.uint8(np.repeat(synthetic_head((64, 64, 20))[:, :, 10, None] / 5, 3, axis=2) * [1, 0.8, 0.6])
    Picture.fromarray(colours).save(tmp_path / "cells.png")
    assert main(["apply", str(tmp_path / "cells.png"), "--model", "bspline3", "--factor", "2"]) == 0
    assert Picture.open(tmp_path / "cells_sr.png").size == (128, 128)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"a: &a [*a]", b"[1, 2]", b"mri-x2: {purpose: none}"])
def test_a_folder_without_a_table_of_networks_is_named(content, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BRAINSR_ZOO", str(tmp_path))
    if content is not None:
        (tmp_path / "networks.yaml").write_bytes(content)
    assert main(["networks"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ") and f"{tmp_path / 'networks.yaml'}: " in message and message.count("\n") == 1


def test_configurations_of_networks_that_ship_are_sound_and_share_their_data():
    runs = {path.stem: read_run(read_yaml(path)) for path in sorted((CHECKOUT / "examples/zoo").glob("*.yaml"))}
    assert {"em-isotropic", "mri-thick", "mri-x2", "mri-x2-fast", "mri-x4", "mri-x4-fast"} <= runs.keys()
    splits = {(volume.source, volume.split) for volume in runs["mri-x4"].volumes}
    for name, run in runs.items():
        assert run.run == name
        if name.startswith("mri-"):
            assert run.volumes == runs["mri-x4"].volumes or name == "mri-thick"
            assert {(volume.source, volume.split) for volume in run.volumes} <= splits
        assert not {volume.split for volume in run.volumes} & {"test", "test_within_subject"}
        assert all(source in known_sources() for volume in run.volumes for source in volume.source_names)
        assert run.recipe(run.infer.deliver).degradations
    tests = read_run(read_yaml(CHECKOUT / "examples/fibsem.yaml")).ids("test")
    assert tests == ["medulla-2"] and {one.subject for one in runs["em-isotropic"].volumes} == {"medulla-1"}
    for name, factor in (("mri-x2", 2), ("mri-x4", 4)):
        fast, recipe = runs[f"{name}-fast"], runs[f"{name}-fast"].recipe("distilled")
        assert (fast.degrade.factor, fast.train.initial_weights, fast.trained_methods) == (factor, name, ["distilled"])
        assert (recipe.starts_from, recipe.teacher, recipe.keep_blocks) == ("pretrained", "pretrained", 1)
        assert recipe.degradations == runs[name].recipe("rrdb_l1").degradations


def test_a_network_that_ships_is_an_initial_network(zoo, tmp_path):
    values = {**copy.deepcopy(DEMO), "train": {"initial_weights": "mri-x2"}, "degrade": {"factor": 2}}
    with pytest.raises(UserError, match=r"'s1-block' .*was trained on this image, 'pycortex-s1'"):
        read_run(values)
    values["volumes"] = [one for one in values["volumes"] if one["split"] != "test_within_subject"]
    assert read_run(values).train.initial_weights == "mri-x2"
    source = known_sources()["mri-x2"]
    given, file = source.model_dump_json(), tmp_path / "resources/mri-x2.safetensors"
    run_step("download", "--name", "mri-x2", "--source", given, "--output", file)
    assert read_download(tmp_path / "resources/mri-x2.safetensors.source.json").sha256 == source.sha256
    folder = tmp_path / "pretrained"
    run_step("convert_weights", "--weights", file, "--source", given, "--factor", "2", "--output", folder)
    pretrained, shipped = (load_generator(one) for one in (folder / "generator.safetensors", checked_weights("mri-x2")))
    assert pretrained.shape == shipped.shape
    assert pretrained.record == shipped.record
    for one, other in zip(pretrained.parameters(), shipped.parameters(), strict=True):
        assert torch.equal(one, other)
    card = (folder / "model_card.md").read_text()
    assert str(source.sha256) in card and "Licence of the weights: CC0" in card
