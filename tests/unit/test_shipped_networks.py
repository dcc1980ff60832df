"""The networks that ship: their files, and their gain on a slice on which none of them was trained."""

import gzip
import re

import numpy as np
import pytest
from matplotlib import get_data_path

from pipeline.baselines.tuning.apply import default_settings, upsample
from pipeline.config.known import known_sources
from pipeline.config.sections import Degrade, Extract, Infer
from pipeline.config.shipped import shipped_networks, zoo_folder
from pipeline.formats import format_of
from pipeline.image.normalisation import normalise
from pipeline.inference.restoration import restore
from pipeline.metrics import psnr, ssim
from pipeline.models.weights import load_generator
from pipeline.models.zoo import checked_weights
from pipeline.physics.degradation import degrade, forward_model
from tests.helpers import ras_affine, write_nifti

NETWORKS = sorted(shipped_networks())
IN_PLANE = [name for name in NETWORKS if shipped_networks()[name].direction == "in_plane"]
BASELINES = ("bicubic", "bspline3", "zerofill", "least_squares", "total_variation")


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_and_card_of_a_network_match_the_table(name):
    network = shipped_networks()[name]
    weights = checked_weights(name)
    assert weights.stat().st_size <= 10e6
    generator = load_generator(weights)
    assert generator.record.direction == network.direction
    card = (zoo_folder() / f"{name}.md").read_text(encoding="utf-8")
    assert network.sha256 in card and network.licence in card
    sources = [known_sources()[source] for source in network.training_sources]
    assert not any(source.tests_only for source in sources)
    assert not any(re.search("BY-NC|NoDerivatives", source.licence) for source in sources)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """One slice of a head, 1.5 T MRI, 256 x 256, from matplotlib's sample data."""
    with gzip.open(f"{get_data_path()}/sample_data/s1045.ima.gz") as file:
        data = np.frombuffer(file.read(), dtype=">u2").reshape(256, 256)
    path = write_nifti(
        tmp_path_factory.mktemp("head") / "head.nii.gz", data.T[..., None].astype(np.int16), ras_affine()
    )
    return normalise(format_of(path).read(path), Extract(plane="axial"))


@pytest.mark.parametrize("sigma", [0.01, 0.02])
@pytest.mark.parametrize("name", IN_PLANE)
def test_a_network_restores_a_head_of_no_data_set_better_than_every_baseline(name, head, sigma):
    network = load_generator(checked_weights(name)).eval()
    settings = Degrade(factor=network.shape.factor, noise_sigma=sigma)
    low = degrade(head, forward_model(head, settings, 2026))
    restored = restore(network, low, Infer(threads=1))
    estimates = {name: upsample(low, name, {name: default_settings(name, sigma)}) for name in BASELINES}
    reference, mask = head.data[..., 0], head.masks["foreground"][..., 0]
    for metric in (psnr, ssim):
        scores = {one: metric.per_slice(reference, estimates[one][..., 0], mask, 1.0) for one in BASELINES}
        assert metric.per_slice(reference, restored[..., 0], mask, 1.0) > max(scores.values()), scores
