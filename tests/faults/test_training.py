"""Training that is killed, started twice, shared by two processes, or started again with other settings.

All of it through the real command line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from pipeline.config.recipe import Recipe
from pipeline.config.sections import Degrade
from pipeline.formats.io.container import read_image, write_image
from pipeline.models.generator import Generator, Shape
from pipeline.models.vgg import VggFeatures, save_vgg
from pipeline.models.weights import load_generator, save_generator
from pipeline.physics.degradation import degrade, forward_model
from tests.helpers import CHECKOUT, extract, run_step, synthetic_head, the_message, write_nifti
from tests.interruption import run_killed

SHAPE = {"blocks": 1, "features": 8, "growth": 4}
SOURCE = json.dumps({"kind": "local", "path": "x", "network": {**SHAPE, "trained_on": "nothing"}})
SETTINGS = {"validate_every": 6, "record_every": 6, "checkpoint_every": 1, "threads": 1}
SMALL = {"steps": 12, "batch_size": 2, "patch_lr": 8, "warmup_steps": 2, "learning_rate": 1e-3}
ADVERSARIAL = {"loss": "standard", "discriminator": "unet_sn", "features": 4, "learning_rate": 1e-3}

PIXELS = {"losses": {"l1": 1.0}}
SHARP = {
    "steps": 16,
    "losses": {"l1": 1.0, "perceptual": 0.01},
    "perceptual": {"layers": {"conv1_2": 1.0}},
    "adversarial": {**ADVERSARIAL, "ramp": 0.5},
    "dial": {"steps": 2, "max_loss_db": 100.0, "max_residual": 100.0},
}
RECIPES = {"pixels": PIXELS, "sharp": SHARP}
SENTINELS = {
    "pixels": {},
    # So strict that steps are skipped and the training is set back, once it knows what is usual.
    "sharp": {"max_gradient": 1.02, "patience_steps": 1, "max_rollbacks": 1000},
}
WRITTEN = ["events.csv", "generator.safetensors", "history.csv", "model_card.md", "samples.safetensors"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder with an extracted and degraded head, for training and validation, initial weights, and a random VGG."""
    folder = tmp_path_factory.mktemp("data")
    source = write_nifti(folder / "head.nii.gz", synthetic_head((48, 52, 40)))
    for name, split, slices in (("one", "train", [0, 24]), ("two", "val", [32, 40])):
        extract(source, folder / f"{name}.hr.safetensors", id=name, split=split, slices=slices)
        image = read_image(folder / f"{name}.hr.safetensors")
        write_image(folder / f"{name}.lr.safetensors", degrade(image, forward_model(image, Degrade(), seed=1)))
    torch.manual_seed(0)
    save_generator(folder / "start.safetensors", Generator(Shape.from_json(SHAPE)))
    save_vgg(folder / "vgg.safetensors", VggFeatures("vgg16", "none"))
    return folder


def arguments(data: Path, work: Path, name: str = "pixels", settings: dict | None = None, **changes) -> list[str]:
    """Return the command line of a training that writes below `work`; `changes` are of the recipe."""
    recipe = Recipe.model_validate({**SMALL, **RECIPES[name], **changes})
    files = {"hr": "one.hr", "lr": "one.lr", "val-hr": "two.hr", "val-lr": "two.lr", "start-from": "start"}
    files |= {"perceptual": "vgg"} if recipe.needs_perceptual else {}
    options = [text for flag, file in files.items() for text in (f"--{flag}", str(data / f"{file}.safetensors"))]
    options += ["--output", str(work / "model"), "--checkpoints", str(work / "checkpoints"), "--source", SOURCE]
    section = {**SETTINGS, "sentinel": SENTINELS[name], **(settings or {})}
    options += ["--recipe", recipe.model_dump_json(), "--settings", json.dumps(section)]
    return ["train", *options, "--seed", "3", "--device", "cpu"]


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.steps", *command],
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    """Wait until a condition is true; otherwise kill the process and fail the test."""
    deadline = time.monotonic() + 600
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    if not condition():
        kill(process)
        raise AssertionError("the training ended too early, or never got there")


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """Return the folder that an undisturbed training by a recipe wrote; each is run once."""
    found: dict[str, Path] = {}

    def folder_of(name: str) -> Path:
        if name not in found:
            folder = tmp_path_factory.mktemp(f"undisturbed-{name}")
            result = run_step(*arguments(data, folder, name))
            assert result.returncode == 0, result.stderr
            found[name] = folder / "model"
        return found[name]

    return folder_of


def assert_same_model(found: Path, expected: Path) -> None:
    """Assert that all files are identical, except for the clock columns of the history."""
    assert sorted(path.name for path in found.iterdir()) == sorted(path.name for path in expected.iterdir())
    for path in expected.iterdir():
        if path.name != "history.csv":
            assert (found / path.name).read_bytes() == path.read_bytes(), path.name
    ours, theirs = (pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in (found, expected))
    pd.testing.assert_frame_equal(ours, theirs)


def test_a_training_writes_its_results_and_removes_checkpoints(undisturbed):
    folder = undisturbed("pixels")
    assert sorted(path.name for path in folder.iterdir()) == WRITTEN
    assert not (folder.parent / "checkpoints").exists()
    history = pd.read_csv(folder / "history.csv")
    assert list(history["step"]) == [6, 12]
    assert {"learning_rate", "loss", "loss_l1", "val_psnr", "val_ssim", "diversity", "seconds"} <= set(history)
    assert list(pd.read_csv(folder / "events.csv").columns) == ["step", "kind", "what", "value"]
    samples = load_file(folder / "samples.safetensors")
    assert sorted(samples) == ["lr", "reference", "step-000000", "step-000006", "step-000012"]
    assert len({tensor.shape for tensor in samples.values()}) == 1
    record = load_generator(folder / "generator.safetensors").record
    assert record.method == "model"
    assert Recipe.model_validate_json(json.dumps(record.recipe)) == Recipe.model_validate({**SMALL, **PIXELS})
    weights = record.consistency_weights
    assert [one.noise_sigma for one in (weights[0], weights[-1])] == pytest.approx([0, 0.06])
    assert all(0 <= one.weight <= 1 for one in weights)


def test_the_curve_of_the_dial_and_the_events_of_the_sentinel_are_written(undisturbed, data):
    folder = undisturbed("sharp")
    assert sorted(path.name for path in folder.iterdir()) == sorted([*WRITTEN, "dial.csv"])
    rows = pd.read_csv(folder / "dial.csv").to_dict("records")
    assert [row["alpha"] for row in rows] == [0.0, 0.5, 1.0]
    assert all(row["allowed"] for row in rows)
    assert [row["chosen"] for row in rows].count(True) == 1
    assert next(row for row in rows if row["chosen"]) == min(rows, key=lambda row: row["perceptual"])
    assert set(pd.read_csv(folder / "events.csv")["kind"]) == {"skipped_step", "rolled_back"}


def test_a_second_training_writes_identical_files(data, undisturbed, tmp_path):
    assert run_step(*arguments(data, tmp_path)).returncode == 0
    assert_same_model(tmp_path / "model", undisturbed("pixels"))


def kill(process: subprocess.Popen[str]) -> int | None:
    process.kill()
    process.communicate()
    return process.returncode


def kill_at_step(step: int, command: list[str]) -> None:
    """Run a training that is killed after the checkpoint of a step, of which `SETTINGS` writes one per step."""
    words = ["python", "-m", "pipeline.steps", *command]
    run_killed(words, file="generation-?.pt", times=step, folder=CHECKOUT, environment=os.environ)


@pytest.mark.parametrize(("name", "step"), [("pixels", 2), ("sharp", 13)])
def test_a_killed_training_resumes_to_the_same_weights(data, undisturbed, tmp_path, name, step):
    expected = undisturbed(name)
    kill_at_step(step, arguments(data, tmp_path, name))
    assert not (tmp_path / "model").exists()
    if name == "sharp":
        assert pd.read_csv(expected / "events.csv")["step"].min() < step, "no event lies in the past"
    again = run_step(*arguments(data, tmp_path, name))
    assert again.returncode == 0, again.stderr
    assert f"continuing after step {step}" in again.stderr
    assert_same_model(tmp_path / "model", expected)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.long
@pytest.mark.parametrize("name", RECIPES)
def test_ten_kills_at_random_moments_end_in_the_same_weights(data, undisturbed, tmp_path, name):
    generator = np.random.default_rng(2026)
    for _ in range(10):
        process = start(arguments(data, tmp_path, name))
        time.sleep(generator.uniform(0.5, 8.0))
        if kill(process) != -signal.SIGKILL:
            break
    assert run_step(*arguments(data, tmp_path, name)).returncode == 0
    assert_same_model(tmp_path / "model", undisturbed(name))


def run_two(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a step as two processes; the second cannot write files larger than a kilobyte, such as weights."""
    alone = 'test "$RANK" = 0 || ulimit -f 1; exec "$0" -m pipeline.steps "$@"'
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    variables = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    everything = [*launcher, "bash", "-c", alone, sys.executable, *command]
    return subprocess.run(everything, cwd=CHECKOUT, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("adversarial", [None, ADVERSARIAL], ids=["pixels", "adversarial"])
def test_two_processes_train_the_same_network_as_one(data, tmp_path, adversarial):
    changes = {"batch_size": 4, "steps": 6, "adversarial": adversarial}
    settings = {"record_every": 1, "checkpoint_every": 3}
    commands = [arguments(data, tmp_path / name, settings=settings, **changes) for name in ("one", "two")]
    alone, shared = run_step(*commands[0]), run_two(commands[1])
    assert alone.returncode == 0, alone.stderr
    assert shared.returncode == 0, shared.stderr
    assert sorted(path.name for path in (tmp_path / "two" / "model").iterdir()) == WRITTEN
    one, two = (pd.read_csv(tmp_path / name / "model" / "history.csv") for name in ("one", "two"))
    names = [name for name in one if name.startswith("loss")]
    assert len(names) == (2 if adversarial is None else 4)
    assert list(one["step"]) == list(two["step"]) == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(two[names], one[names], rtol=1e-4)
    assert not (tmp_path / "two" / "checkpoints").exists()


def test_a_batch_that_two_processes_cannot_share_is_rejected(data, tmp_path):
    result = run_two(arguments(data, tmp_path, batch_size=3))
    assert result.returncode != 0
    assert "batch_size: 3 patches" in result.stderr


def test_changed_settings_restart_the_training_with_a_message(data, tmp_path):
    kill_at_step(1, arguments(data, tmp_path, steps=11))
    again = run_step(*arguments(data, tmp_path))
    assert again.returncode == 0, again.stderr
    assert "training from the beginning" in again.stderr
    assert "continuing" not in again.stderr


def test_a_second_trainer_in_one_folder_is_rejected(data, tmp_path):
    first = start(arguments(data, tmp_path, steps=100_000))
    try:
        wait_for(lambda: any((tmp_path / "checkpoints").glob("generation-*.pt")), first)
        message = the_message(run_step(*arguments(data, tmp_path)), after_progress=True)
        assert "another training" in message
    finally:
        kill(first)


def test_cuda_without_a_gpu_is_a_clear_error(data, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    command = arguments(data, tmp_path)
    command[command.index("--device") + 1] = "cuda"
    message = the_message(run_step(*command), after_progress=True)
    assert "resources.device" in message
    assert "auto or cpu" in message


def test_auto_logs_the_device(data, tmp_path):
    command = arguments(data, tmp_path, steps=1)
    command[command.index("--device") + 1] = "auto"
    assert "device: " in run_step(*command).stderr


def test_data_of_another_factor_is_refused(data, tmp_path):
    image = read_image(data / "one.hr.safetensors")
    write_image(tmp_path / "lr2.safetensors", degrade(image, forward_model(image, Degrade(factor=2), seed=1)))
    command = arguments(data, tmp_path)
    command[command.index("--lr") + 1] = str(tmp_path / "lr2.safetensors")
    message = the_message(run_step(*command), after_progress=True)
    assert "start.safetensors: enlarges by (4, 4), but the data was degraded by (2, 2)" in message


def test_a_damaged_volume_is_named(data, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes((data / "one.hr.safetensors").read_bytes()[:5000])
    command = arguments(data, tmp_path)
    command[command.index("--hr") + 1] = str(broken)
    assert "broken.safetensors" in the_message(run_step(*command), after_progress=True)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(("starts_from", "given"), [("scratch", True), ("pretrained", False)])
def test_unexpected_or_missing_initial_weights_are_named(data, tmp_path, starts_from, given):
    command = arguments(data, tmp_path, starts_from=starts_from)
    if not given:
        place = command.index("--start-from")
        del command[place : place + 2]
    assert f"--start-from: the recipe starts from '{starts_from}'" in the_message(run_step(*command))


def test_a_missing_teacher_is_named_and_a_given_one_is_part_of_the_card(data, tmp_path):
    command = arguments(data, tmp_path, losses={"l1": 1.0, "distillation": 1.0}, teacher="pretrained", steps=2)
    assert "--teacher: the recipe has the teacher 'pretrained'" in the_message(run_step(*command))
    run_step(*command, "--teacher", str(data / "start.safetensors"))
    assert "- Teacher: " in (tmp_path / "model/model_card.md").read_text()
    assert "loss_distillation" in (tmp_path / "model/history.csv").read_text()


def test_missing_features_are_named(data, tmp_path):
    command = arguments(data, tmp_path, losses={"perceptual": 1.0})
    place = command.index("--perceptual")
    del command[place : place + 2]
    assert "--perceptual: the recipe has a perceptual loss" in the_message(run_step(*command))


def test_a_training_that_cannot_be_saved_ends_with_advice(data, tmp_path):
    command = arguments(data, tmp_path, learning_rate=50.0, warmup_steps=0, steps=100)
    message = the_message(run_step(*command), after_progress=True)
    assert "after 3 rollbacks (train.sentinel.max_rollbacks). Lower the learning rates" in message
    assert not (tmp_path / "model").exists()
