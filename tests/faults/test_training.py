"""Training that is killed, started twice, or started again with other settings, through the real command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.config.stages import Degrade
from pipeline.degrade import degrade, forward_model
from pipeline.image.container import read_image, write_image
from pipeline.models.generator import Generator, Shape
from pipeline.models.weights import save_generator
from tests.helpers import CHECKOUT, extract, run_stage, synthetic_head, the_message, write_nifti

SHAPE = {"blocks": 1, "features": 8, "growth": 4}
SOURCE = json.dumps({"kind": "local", "path": "x", "network": {**SHAPE, "trained_on": "nothing"}})
SETTINGS = {"steps": 12, "batch_size": 2, "patch_lr": 8, "validate_every": 6, "checkpoint_every": 1, "threads": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder with an extracted and degraded head, for training and validation, and initial weights."""
    folder = tmp_path_factory.mktemp("data")
    source = write_nifti(folder / "head.nii.gz", synthetic_head((48, 52, 40)))
    for name, split, slices in (("one", "train", [0, 24]), ("two", "val", [32, 40])):
        extract(source, folder / f"{name}.hr.safetensors", id=name, split=split, slices=slices)
        image = read_image(folder / f"{name}.hr.safetensors")
        write_image(folder / f"{name}.lr.safetensors", degrade(image, forward_model(image, Degrade(), seed=1)))
    torch.manual_seed(0)
    save_generator(folder / "weights.safetensors", Generator(Shape.from_json(SHAPE)))
    return folder


def arguments(data: Path, work: Path, **changes) -> list[str]:
    """Returns the command line of a training that writes below `work`."""
    files = {"hr": "one.hr", "lr": "one.lr", "val-hr": "two.hr", "val-lr": "two.lr", "weights": "weights"}
    options = [text for name, file in files.items() for text in (f"--{name}", str(data / f"{file}.safetensors"))]
    options += ["--output", str(work / "model"), "--checkpoints", str(work / "checkpoints"), "--source", SOURCE]
    return ["train", *options, "--seed", "3", "--device", "cpu", "--settings", json.dumps({**SETTINGS, **changes})]


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *command],
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition(), "the training ended too early"


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    result = run_stage(*arguments(data, folder))
    assert result.returncode == 0, result.stderr
    return folder / "model"


def assert_same_model(found: Path, expected: Path) -> None:
    """The same bytes of weights and card, the same history but for its clock."""
    for name in ("generator.safetensors", "model_card.md"):
        assert (found / name).read_bytes() == (expected / name).read_bytes(), name
    ours, theirs = (pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in (found, expected))
    pd.testing.assert_frame_equal(ours, theirs)


def test_a_training_leaves_weights_card_and_history_and_no_checkpoints(undisturbed):
    assert sorted(path.name for path in undisturbed.iterdir()) == [
        "generator.safetensors",
        "history.csv",
        "model_card.md",
    ]
    assert not (undisturbed.parent / "checkpoints").exists()
    history = pd.read_csv(undisturbed / "history.csv")
    assert list(history["step"]) == [6, 12]
    assert {"learning_rate", "loss", "loss_l1", "val_psnr", "val_ssim", "seconds"} <= set(history)


def test_a_second_training_gives_the_same_bytes(data, undisturbed, tmp_path):
    assert run_stage(*arguments(data, tmp_path)).returncode == 0
    assert_same_model(tmp_path / "model", undisturbed)


@pytest.mark.parametrize("kill_at", [1, 2, 7])
def test_a_killed_training_goes_on_and_ends_in_the_same_weights(data, undisturbed, tmp_path, kill_at):
    process = start(arguments(data, tmp_path))
    generation = tmp_path / "checkpoints" / f"generation-{(kill_at - 1) % 2}.pt"

    def reached() -> bool:
        try:
            return torch.load(generation, weights_only=True)["step"] >= kill_at
        except (OSError, RuntimeError, EOFError):
            return False

    wait_for(reached, process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    again = run_stage(*arguments(data, tmp_path))
    assert again.returncode == 0, again.stderr
    assert "continuing after step" in again.stderr
    assert_same_model(tmp_path / "model", undisturbed)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.long
def test_ten_kills_at_random_moments_end_in_the_same_weights(data, undisturbed, tmp_path):
    generator = np.random.default_rng(2026)
    for _ in range(10):
        process = start(arguments(data, tmp_path))
        time.sleep(generator.uniform(0.5, 8.0))
        process.kill()
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            break
    assert run_stage(*arguments(data, tmp_path)).returncode == 0
    assert_same_model(tmp_path / "model", undisturbed)


def test_changed_settings_start_afresh_and_say_so(data, tmp_path):
    process = start(arguments(data, tmp_path, steps=100_000))
    wait_for(lambda: any((tmp_path / "checkpoints").glob("generation-*.pt")), process)
    process.kill()
    process.communicate()
    again = run_stage(*arguments(data, tmp_path))
    assert again.returncode == 0, again.stderr
    assert "starting afresh" in again.stderr
    assert "continuing" not in again.stderr


def test_a_second_trainer_on_one_folder_is_refused(data, tmp_path):
    first = start(arguments(data, tmp_path, steps=100_000))
    try:
        wait_for(lambda: any((tmp_path / "checkpoints").glob("generation-*.pt")), first)
        message = the_message(run_stage(*arguments(data, tmp_path)))
        assert "another training" in message
    finally:
        first.kill()
        first.communicate()


def test_cuda_without_a_gpu_is_a_clear_error(data, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    command = arguments(data, tmp_path)
    command[command.index("--device") + 1] = "cuda"
    message = the_message(run_stage(*command))
    assert "resources.device" in message and "auto or cpu" in message


def test_auto_says_what_it_chose(data, tmp_path):
    command = arguments(data, tmp_path, steps=1)
    command[command.index("--device") + 1] = "auto"
    assert "device: " in run_stage(*command).stderr


def test_data_of_another_factor_is_refused(data, tmp_path):
    image = read_image(data / "one.hr.safetensors")
    write_image(tmp_path / "lr2.safetensors", degrade(image, forward_model(image, Degrade(factor=2), seed=1)))
    command = arguments(data, tmp_path)
    command[command.index("--lr") + 1] = str(tmp_path / "lr2.safetensors")
    message = the_message(run_stage(*command))
    assert "degrade.factor" in message and "enlarges by 4" in message


def test_a_damaged_volume_is_named(data, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes((data / "one.hr.safetensors").read_bytes()[:5000])
    command = arguments(data, tmp_path)
    command[command.index("--hr") + 1] = str(broken)
    assert "broken.safetensors" in the_message(run_stage(*command))
    assert not (tmp_path / "model").exists()
