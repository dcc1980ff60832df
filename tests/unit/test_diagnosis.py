"""The agreement of diagnoses: the table on known answers, and the stage on pictures that it must tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.config.sections import REFERENCE
from pipeline.fidelity import classifier
from pipeline.fidelity.diagnosis import (
    Diagnoses,
    class_numbers,
    classes_of,
    diagnosis_table,
    joined,
    learnable,
    pictures_of,
)
from pipeline.formats._picture_stack import stack_image
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import write_prediction
from pipeline.image.image import Image
from pipeline.image.stack import upright
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps.__main__ import main
from tests.helpers import described

SETTINGS = '{"bootstrap_samples": 200}'


def table(by_split: dict[str, Diagnoses], samples: int = 4000) -> pd.DataFrame:
    found = diagnosis_table(by_split, ["bicubic", "nearest"], samples=samples, confidence=0.95, seed=1)
    return found.set_index(["split", "method"])


def said(labels: str, **found: str) -> Diagnoses:
    numbers = {name: np.array([int(one) for one in text]) for name, text in found.items()}
    return Diagnoses(np.array([int(one) for one in labels]), numbers)


def test_shares_differences_and_intervals():
    test = said("0011", reference="0010", bicubic="0110", nearest="1111", ours="0010")
    val = said("01", reference="01", bicubic="00", nearest="01", ours="01")
    rows = table({"test": test, "val": val})
    assert rows.loc[("test", REFERENCE), ["accuracy", "agreement"]].tolist() == [0.75, 1.0]
    assert rows.loc[("test", "bicubic"), ["accuracy", "agreement"]].tolist() == [0.5, 0.75]
    assert rows.loc[("test", "ours"), ["pictures", "agreement", "agreement_ci_low"]].tolist() == [4, 1, 1]
    assert set(rows["baseline"]) == {"nearest"}, "chosen on val, though bicubic agrees better on test"
    assert rows.loc[("test", "ours"), "diff"] == 0.75
    assert pd.isna(rows.loc[("test", REFERENCE), "diff"])


def test_the_interval_is_that_of_drawing_pictures():
    """The mean of n draws with replacement from zeros and ones is binomial."""
    from scipy.stats import binom

    agrees = 70
    test = Diagnoses(
        np.zeros(100, dtype=int), {REFERENCE: np.zeros(100, dtype=int), "ours": (np.arange(100) >= agrees) * 1}
    )
    row = table({"test": test}, samples=20000).loc[("test", "ours")]
    expected = binom.ppf([0.025, 0.975], 100, 0.7) / 100
    assert row[["agreement_ci_low", "agreement_ci_high"]].tolist() == pytest.approx(expected, abs=0.011)
    assert row["baseline"] == "" and pd.isna(row["diff"])


def test_one_picture_has_no_interval_and_none_has_no_rows():
    assert pd.isna(table({"test": said("0", reference="0", ours="1")}).loc[("test", "ours"), "agreement_ci_low"])
    assert diagnosis_table({}, ["bicubic"], samples=100, confidence=0.95, seed=0).empty


def test_stacks_are_put_together():
    both = joined([said("0", reference="0", a="0", b="0"), said("1", reference="1", a="0")])
    assert both.labels.tolist() == [0, 1] and sorted(both.found) == ["a", REFERENCE]


def test_classes():
    assert learnable(["b", "a", "b", "a", "rare"]) == ["a", "b"]
    assert learnable(["a", "a", "rare"]) == [], "one class is none"
    assert class_numbers(["b", "?", "a"], ["a", "b"]).tolist() == [1, -1, 0]


# The stage


@pytest.fixture
def small(monkeypatch):
    for name, value in {"SIDE": 32, "CHANNELS": (4, 8), "MAX_EPOCHS": 6, "BATCH": 8}.items():
        monkeypatch.setattr(classifier, name, value)
    monkeypatch.setattr("pipeline.fidelity.diagnosis.SIDE", 32)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def pictures(count: int, seed: int, classes: tuple[str, ...] = ("across", "down")) -> dict[str, np.ndarray]:
    """Stripes across or down, in noise, 8-bit, of several sizes, in folders of their classes."""
    generator = np.random.default_rng(seed)
    found = {}
    for index in range(count):
        size = (32, 40)[index % 3 == 0]
        wave = np.sin(np.arange(size) * 1.2 * 32 / size)
        stripes = np.tile(wave[:, None] if index % 2 == 0 else wave, (1, size) if index % 2 == 0 else (size, 1))
        values = 110 + 60 * stripes + 12 * generator.standard_normal((size, size))
        found[f"{classes[index % 2]}/{index}.png"] = values.clip(0, 255).astype(np.uint8)
    return found


def stack(path: Path, split: str, made: dict[str, np.ndarray]) -> Image:
    image = stack_image(made, 0.0, "all")
    named = {"id": path.stem, "subject": path.stem, "split": split}
    image = described(image, **named)
    write_image(path, image)
    return image


def restored(folder: Path, image: Image, estimate: np.ndarray) -> str:
    low = LowResolutionImage.of(image, ForwardModel((1, 1, 1), image.data.shape))
    path = folder / f"{image.id}.tiff"
    write_prediction(path, low, estimate)
    return str(path)


def command(folder: Path, classes: tuple[str, ...] = ("across", "down")) -> list[str]:
    stack(folder / "learn-0.safetensors", "train", pictures(24, 1, classes))
    stack(folder / "learn-1.safetensors", "train", pictures(24, 2, classes))
    references = {
        split: stack(folder / f"{split}-0.safetensors", split, pictures(16, 3, classes)) for split in ("val", "test")
    }
    predictions = []
    for image in references.values():
        faithful = np.asarray(image.data)
        turned = image.masks["picture"] * faithful.transpose(1, 0, 2)  # all sizes are square
        for method, estimate in (("bicubic", faithful), ("nearest", 0 * faithful), ("liar", turned)):
            predictions.append(restored(folder / method, image, estimate))
    learnt = [str(folder / f"learn-{index}.safetensors") for index in (0, 1)]
    tested = [str(folder / f"{split}-0.safetensors") for split in references]
    given = ["--train", *learnt, "--hr", *tested, "--predictions", *predictions, "--threads", "1"]
    return ["diagnosis", *given, "--seed", "5", "--settings", SETTINGS, "--output", str(folder / "diagnosis.csv")]


def test_what_changes_the_picture_changes_the_diagnosis(small, tmp_path):
    asked = command(tmp_path)
    assert main(asked) == 0
    first = (tmp_path / "diagnosis.csv").read_bytes()
    rows = pd.read_csv(tmp_path / "diagnosis.csv").set_index(["split", "method"])
    assert rows.loc[("test", REFERENCE), "accuracy"] > 0.9 and rows.loc[("test", REFERENCE), "pictures"] == 16
    assert rows.loc[("test", "bicubic"), "agreement"] == 1
    assert rows.loc[("test", "nearest"), "agreement"] == pytest.approx(0.5, abs=0.2)
    assert rows.loc[("test", "liar"), "agreement"] < 0.2
    assert rows.loc[("test", "liar"), "diff_ci_high"] < 0 and rows.loc[("test", "liar"), "baseline"] == "bicubic"
    assert main(asked) == 0
    assert (tmp_path / "diagnosis.csv").read_bytes() == first, "the same seed gives the same bytes"


def test_pictures_in_one_folder_have_no_diagnosis(small, tmp_path):
    assert main(command(tmp_path, ("all", "all"))) == 0
    assert pd.read_csv(tmp_path / "diagnosis.csv").empty


def test_pictures_are_taken_out_of_their_stack(tmp_path):
    made = pictures(3, 0)
    image: Any = stack(tmp_path / "one.safetensors", "train", made)
    image = read_image(tmp_path / "one.safetensors")
    taken = pictures_of(image, image.data)
    assert taken.shape == (3, classifier.SIDE, classifier.SIDE)
    for picture, one in zip(made.values(), taken, strict=True):
        normalised = stack_image({"x": picture}, 0.0, "all").data[..., 0]
        assert one == pytest.approx(classifier.resized(upright(normalised).clip(0, 1)[None])[0], abs=1e-6)
    assert classes_of(image) == ["across", "down", "across"]
