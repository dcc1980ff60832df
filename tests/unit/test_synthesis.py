"""Images that are synthesised from label maps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from pipeline.config.sections import Degrade
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.formats.io.container import map_labels, read_image, write_image
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.grid import Cut
from pipeline.steps.synthesise import Options, run
from pipeline.training.patches import PatchSampler, TrainingVolume
from pipeline.training.record import drawn_models, training_domain
from pipeline.training.setup import training_volume
from pipeline.training.synthesis.image import SyntheticImage, draw_patch_image, draw_volume_image
from pipeline.training.synthesis.label_map import LabelMap
from pipeline.training.synthesis.resolution import Resolution
from pipeline.training.synthesis.rotation import rotated_part
from tests.helpers import volume_entry, write_nifti
from tests.small_training import make_trainer, tiny_recipe

AXIAL = Cut(2, 0, 1)
SHAPE = (64, 56, 20)
SCALP, WHITE, GREY = 507, (2, 41), (3, 42)


def a_head() -> np.ndarray:
    """Return a head of ellipsoids: scalp, fluid, grey and white matter of both hemispheres, ventricles."""
    x, y, z = np.ogrid[tuple(slice(-size / 2 + 0.5, size / 2) for size in SHAPE)]
    radius = np.sqrt((x / 30) ** 2 + (y / 26) ** 2 + (z / 16) ** 2)
    labels = np.zeros(SHAPE, dtype=np.int16)
    left = np.broadcast_to(x < 0, SHAPE)
    for limit, (one, other) in ((1.0, (SCALP, SCALP)), (0.85, (24, 24)), (0.75, GREY), (0.6, WHITE), (0.2, (4, 43))):
        labels[radius <= limit] = np.where(left, one, other)[radius <= limit]
    return labels


HEAD = LabelMap(a_head(), (1.0, 1.0, 1.0))
MIDDLE = SHAPE[2] // 2
PLACE = (slice(16, 48), slice(12, 44))
WHOLE = (slice(0, SHAPE[0]), slice(0, SHAPE[1]))


def an_image(seed: int, label_map: LabelMap = HEAD) -> SyntheticImage:
    return draw_patch_image(label_map, AXIAL, MIDDLE, PLACE, SHAPE[:2], np.random.default_rng(seed))


def plain(image: SyntheticImage) -> SyntheticImage:
    """Return an image with the voxels of its label map, and without texture, bias field, stripping or lesions."""
    contrast = replace(image.contrast, spreads=np.zeros_like(image.contrast.spreads), gamma=np.float32(1))
    none = replace(image.lesions, centres=np.zeros((0, 3)), semi_axes=np.zeros((0, 3)))
    resolution = Resolution(1.0, 0.6, (0.0, 0.0))
    field = np.ones_like(image.field)
    return replace(image, contrast=contrast, lesions=none, resolution=resolution, field=field, stripping=None)


def test_an_image_depends_on_the_generator_alone():
    one, two, other = (an_image(seed).read([MIDDLE], WHOLE) for seed in (1, 1, 2))
    assert one.dtype == np.float32
    assert one.shape == (1, *SHAPE[:2])
    assert np.array_equal(one, two)
    assert not np.allclose(one, other, atol=0.05)


def test_a_slice_is_the_same_whichever_slices_are_read_with_it():
    image = an_image(3)
    together = image.read(range(5, 12), PLACE)
    for index, expected in zip(range(5, 12), together, strict=True):
        assert np.array_equal(image.read([index], PLACE)[0], expected)
    assert not np.array_equal(together[0], together[1])


def test_left_and_right_are_alike():
    for seed in range(20):
        means, spreads = an_image(seed).contrast.means, an_image(seed).contrast.spreads
        for left, right in ((2, 41), (3, 42), (4, 43)):
            assert (means[left], spreads[left]) == (means[right], spreads[right])


def test_contrasts_vary_and_have_any_order():
    means = np.array([an_image(seed).contrast.means[[2, 3, 4, SCALP]] for seed in range(200)])
    assert means.std(axis=0).min() > 0.15
    assert len({tuple(np.argsort(one)) for one in means}) == 24, "all orders of four structures occur"


def test_an_intensity_stays_in_its_region_and_the_reach_of_the_psf():
    image = plain(an_image(5))
    labels = np.moveaxis(HEAD.labels, AXIAL, (0, 1, 2))[MIDDLE]
    found = image.intensities([MIDDLE], WHOLE)[0]
    expected = image.contrast.means[labels]
    # Away from borders the intensity is that of the label; across them, between those of the neighbours.
    same = ndimage.maximum_filter(HEAD.labels, 7) == ndimage.minimum_filter(HEAD.labels, 7)
    inner = same[:, :, MIDDLE]
    assert inner.sum() > 500
    assert np.allclose(found[inner], expected[inner], atol=1e-5)
    assert np.all(found <= ndimage.maximum_filter(image.contrast.means[HEAD.labels], 7)[:, :, MIDDLE] + 1e-5)
    assert np.all(found >= ndimage.minimum_filter(image.contrast.means[HEAD.labels], 7)[:, :, MIDDLE] - 1e-5)


def test_partial_volume_is_that_of_a_gaussian_filter():
    image = plain(an_image(6))
    means = image.contrast.means[HEAD.labels].astype(np.float64)
    expected = ndimage.gaussian_filter(means, 0.6, mode="nearest", truncate=8)
    found = image.intensities([MIDDLE], WHOLE)[0]
    assert np.allclose(found, expected[:, :, MIDDLE], atol=0.02)


def test_texture_has_the_spread_of_its_label():
    labels = np.full((96, 96, 3), 10, dtype=np.int16)
    labels[:48] = 11
    label_map = LabelMap(labels, (1.0, 1.0, 1.0))
    place = (slice(0, 96), slice(0, 96))
    for seed in range(5):
        drawn = plain(draw_patch_image(label_map, AXIAL, 1, place, (96, 96), np.random.default_rng(seed)))
        spreads = drawn.contrast.spreads.copy()
        spreads[[10, 11]] = 0.01, 0.04
        means = np.full_like(spreads, 0.5)
        image = replace(drawn, contrast=replace(drawn.contrast, means=means, spreads=spreads))
        values = image.intensities([1], place)[0]
        assert values[4:44, 4:-4].std() == pytest.approx(0.04, rel=0.15)
        assert values[52:-4, 4:-4].std() == pytest.approx(0.01, rel=0.15)


def test_the_voxel_size_varies_around_the_patch():
    zooms = [an_image(seed).resolution.zoom for seed in range(100)]
    assert 0.5 <= min(zooms) < 0.55
    assert 1.45 < max(zooms) <= 1.5
    image = plain(an_image(7))
    scale = [float(image.read([MIDDLE], WHOLE)[0][32, 28])]
    for zoom in (0.5, 1.5):
        zoomed = replace(image, resolution=Resolution(zoom, 0.6, (32.0, 28.0)))
        scale.append(float(zoomed.read([MIDDLE], WHOLE)[0][32, 28]))
        assert np.count_nonzero(zoomed.read([MIDDLE], WHOLE) > 0.01) > 0
    assert np.ptp(scale) < 1e-5, "the centre does not move"


def test_rotation_mixes_no_labels():
    image = plain(an_image(7))
    for angle in (0.0, np.pi / 2, 0.3):
        turned = replace(image, resolution=Resolution(1.0, 0.6, (31.5, 27.5), angle))
        box = (slice(MIDDLE, MIDDLE + 1), slice(-8, 72), slice(-8, 64))
        labels = rotated_part(turned.labels, box, turned.resolution)[0]
        counts, expected = (
            np.bincount(one.ravel(), minlength=SCALP + 1)[1:] for one in (labels, turned.labels[MIDDLE])
        )
        assert np.abs(counts - expected).max() <= (0 if angle in (0.0, np.pi / 2) else 25)
        if angle:
            assert not np.array_equal(labels[8:-8, 8:-8], turned.labels[MIDDLE])
        assert np.array_equal(turned.foreground(MIDDLE), labels[8:-8, 8:-8] != 0)


def test_stripped_images_contain_brain_alone():
    stripped = [image for image in map(an_image, range(60)) if image.stripping is not None]
    assert 5 < len(stripped) < 35
    scalp = np.asarray(ndimage.minimum_filter(HEAD.labels == SCALP, 3), dtype=bool)[:, :, MIDDLE]
    for one in stripped:
        image = replace(one, resolution=Resolution(1.0, 0.6, (0.0, 0.0)))
        assert not image.foreground(MIDDLE)[scalp].any()
        assert np.all(image.read([MIDDLE], WHOLE)[0][scalp] <= 0)


def test_lesions_lie_in_the_white_matter():
    changed = 0
    for seed in range(60):
        image = an_image(seed)
        one = plain(image)
        lesions = replace(one, lesions=image.lesions)
        difference = np.abs(lesions.read([MIDDLE], WHOLE) - one.read([MIDDLE], WHOLE))[0]
        near_white = ndimage.maximum_filter(np.isin(HEAD.labels, WHITE).astype(np.int16), 7)[:, :, MIDDLE] == 1
        assert np.all(difference[~near_white] < 1e-4)
        changed += bool(difference.max() > 0.05)
    assert 3 < changed < 40


def test_intensities_are_normalised_like_those_of_any_image():
    for seed in range(10):
        image = draw_volume_image(HEAD, AXIAL, np.random.default_rng(seed))
        data = image.read(range(SHAPE[2]), WHOLE)
        assert np.percentile(data, 0.1) == pytest.approx(0, abs=0.03)
        assert np.percentile(data[np.moveaxis(HEAD.labels, AXIAL, (0, 1, 2)) != 0], 99.9) == pytest.approx(1, abs=0.2)


# In the workflow


def extracted(folder: Path, labels: np.ndarray, seed: int = 1, **entry) -> Path:
    values = volume_entry(id="map", split="train", content="labels", **entry)
    volume = Volume.model_validate_json(json.dumps(values))
    source, output = write_nifti(folder / "map.nii.gz", labels), folder / f"{seed}.safetensors"
    run(Options(input=source, output=output, volume=volume, seed=seed))
    return output


def test_a_label_map_is_stored_with_an_image(tmp_path):
    path = extracted(tmp_path, a_head(), slices=[2, 18])
    image, labels = read_image(path), map_labels(path)
    assert labels is not None
    assert labels.dtype == np.int16
    assert np.array_equal(labels, a_head()[:, :, 2:18])
    assert image.block.synthetic
    assert image.data.shape == image.masks["foreground"].shape == labels.shape
    assert set(image.masks) == {"foreground"}
    assert path.read_bytes() == extracted(tmp_path, a_head(), slices=[2, 18]).read_bytes()
    assert not np.allclose(read_image(extracted(tmp_path, a_head(), seed=2, slices=[2, 18])).data, image.data, atol=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda labels: labels + np.float32(0.5), "a label map contains whole numbers from 0 to 32767"),
        (lambda labels: labels.astype(np.int32) * 100, "a label map contains whole numbers from 0 to 32767"),
        (lambda labels: (labels != 0).astype(np.int16), "requires at least 2 labels besides the background"),
    ],
)
def test_what_is_no_label_map_is_refused(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        extracted(tmp_path, change(a_head()))
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "test"}, "results are tested on acquired images"),
        ({"split": "train", "tissues": "csf-grey-white"}, "tissues applies to images"),
        ({"split": "train", "segmentation": "mine"}, "segmentation applies to images"),
        ({"split": "train", "source": None, "sources": ["a", "b"]}, "a volume with a single source"),
    ],
)
def test_keys_that_do_not_suit_label_maps_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Volume.model_validate_json(json.dumps(volume_entry(content="labels", **changes)))


def a_volume(folder: Path, settings: Degrade | None = None) -> TrainingVolume:
    return a_volume_of(folder, a_head(), settings)


def a_volume_of(folder: Path, labels: np.ndarray, settings: Degrade | None = None) -> TrainingVolume:
    path = extracted(folder, labels)
    image, low = read_image(path), folder / "low.safetensors"
    write_image(low, degrade(image, forward_model(image, settings or Degrade(), seed=1)))
    return training_volume(path, low)


@pytest.mark.parametrize("direction", ["in_plane", "through_plane", "isotropic"])
def test_patches_of_a_label_map_have_new_contrasts_and_suit_the_forward_model(tmp_path, direction):
    settings = Degrade.model_validate_json(json.dumps({"direction": direction, "factor": 2, "noise": "none"}))
    volume = a_volume(tmp_path, settings)
    recipe = tiny_recipe(batch_size=12, noise_sigma_range=(0, 0))
    patches = PatchSampler([volume], recipe, seed=3).batch(0)
    assert np.isfinite(patches.reference).all()
    assert np.std(patches.reference.mean(axis=(1, 2, 3))) > 0.05
    means = patches.measured.mean(axis=(1, 2, 3))
    assert np.corrcoef(means, patches.reference.mean(axis=(1, 2, 3)))[0, 1] > 0.9
    again = PatchSampler([volume], recipe, seed=3).batch(0)
    assert np.array_equal(again.reference, patches.reference)
    assert np.array_equal(again.measured, patches.measured)


def test_patches_lie_around_the_brain(tmp_path):
    labels = np.zeros((160, 160, 8), dtype=np.int16)
    labels[90:146, 90:146, 3:5] = 2
    labels[110:126, 110:126, 3:5] = 3
    volume = a_volume_of(tmp_path, labels)
    assert [index for _, index in volume.places] == [3, 4]
    anywhere = replace(volume, mask=np.ones(labels.shape, dtype=bool))
    references = PatchSampler([anywhere], tiny_recipe(batch_size=30), seed=3).batch(0).reference
    visible = [np.ptp(ndimage.gaussian_filter(one[0], 2)) > 0.1 for one in references]
    assert np.mean(visible) > 0.8


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_synthetic_patches_is_that_of_the_recipe(tmp_path, share):
    maps = a_volume(tmp_path)
    flat = replace(maps, label_map=None, data=np.full(SHAPE, 0.5, dtype=np.float32))
    recipe = tiny_recipe(batch_size=80, synthetic_share=share, contrast_augmentation=0.0)
    references = PatchSampler([maps, maps, maps, flat], recipe, seed=1).batch(0).reference
    synthetic = np.mean([np.ptp(one) > 0 for one in references])
    assert synthetic == pytest.approx(share, abs=0.1 if 0 < share < 1 else 0)


def test_the_record_contains_the_voxel_sizes_that_are_drawn(tmp_path):
    models = drawn_models(a_volume(tmp_path))
    assert training_domain([], tiny_recipe(), synthetic=models).voxel_mm == pytest.approx((2.0, 6.0))


def test_a_resumed_training_on_a_label_map_ends_in_the_same_weights(tmp_path):
    recipe = tiny_recipe(noise_sigma_range=(0.0, 0.05))

    def trainer(name: str, stop: int | None = None):
        sampler = Stopping(PatchSampler([a_volume(tmp_path)], recipe, seed=5), stop)
        return make_trainer(tmp_path / name, recipe, sampler=sampler)

    expected = trainer("whole").run().state_dict()
    with pytest.raises(KeyboardInterrupt):
        trainer("cut", stop=8).run()
    found = trainer("cut").run().state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


class Stopping:
    """Sampler that interrupts the training at a step."""

    def __init__(self, sampler: PatchSampler, stop: int | None) -> None:
        self._sampler, self._stop = sampler, stop

    def batch(self, step: int, part: slice = slice(None)):
        """Return the batch of a step, unless the training is to be interrupted there."""
        if step == self._stop:
            raise KeyboardInterrupt
        return self._sampler.batch(step, part)
