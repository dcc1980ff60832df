"""Networks and their weights, against implementations that are not ours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ncnn as ncnn_package
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from skimage import data
from torch import nn

from pipeline.config.load import read_entry
from pipeline.config.sources import Source
from pipeline.errors import UserError
from pipeline.models.generator import Generator, Shape, enlarging_by
from pipeline.models.record import ConsistencyWeight, NetworkRecord
from pipeline.models.weights import METADATA, fold_to_one_channel, load_generator, read_weights, save_generator
from pipeline.steps import convert_weights
from tests.known import graph_of, known_file

ncnn: Any = ncnn_package  # it has no type hints

SMALL = Shape(blocks=1, features=8, growth=4)


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """Return a part of a photograph, shape (3, rows, columns), 0 to 1, with odd sizes."""
    return np.ascontiguousarray((data.astronaut()[90:131, 200:235] / 255.0).astype(np.float32).transpose(2, 0, 1))


@pytest.fixture(scope="module")
def weights() -> Path:
    return known_file("realesrgan-6b")


def converted(weights: Path, blocks: int) -> nn.Module:
    network = Generator(Shape(blocks=blocks, channels=3)).network
    network.load_state_dict(read_weights(weights, network))
    return network.eval()


@pytest.fixture(scope="module")
def colour_network(weights: Path) -> nn.Module:
    return converted(weights, blocks=6)


def apply(network: nn.Module, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(image)[None])[0].numpy()


def small_generator(**changes: Any) -> Generator:
    torch.manual_seed(0)
    return Generator(replace(SMALL, **changes)).eval()


def small_network(**changes: Any) -> nn.Module:
    return small_generator(**changes).network


def ncnn_makes(name: str, photograph: np.ndarray) -> np.ndarray:
    """Return the output of ncnn for a photograph, with the weights and graph of the package."""
    peer = ncnn.Net()
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_winograd_convolution"):
        setattr(peer.opt, option, False)
    assert peer.load_param(str(graph_of(name))) == 0
    assert peer.load_model(str(known_file(name))) == 0
    extractor = peer.create_extractor()
    extractor.input("data", ncnn.Mat(photograph))
    return np.array(extractor.extract("output")[1])


def test_converted_weights_reproduce_ncnn_on_a_photograph(colour_network, photograph):
    ours = apply(colour_network, photograph)
    assert ours.shape == (3, 4 * photograph.shape[1], 4 * photograph.shape[2])
    assert np.abs(ours - ncnn_makes("realesrgan-6b", photograph)).max() < 1e-4


@pytest.mark.long
def test_the_network_of_23_blocks_reproduces_ncnn_on_a_photograph(photograph):
    ours = apply(converted(known_file("realesrgan-x4plus"), blocks=23), photograph)
    assert np.abs(ours - ncnn_makes("realesrgan-x4plus", photograph)).max() < 1e-4


def test_folding_to_one_channel_is_exact_for_grey_images(colour_network, photograph):
    grey = photograph.mean(axis=0, keepdims=True)
    single = Generator(Shape(blocks=6)).network
    single.load_state_dict(fold_to_one_channel(colour_network.state_dict(), 3))
    colour = apply(colour_network, np.repeat(grey, 3, axis=0)).mean(axis=0)
    assert np.abs(apply(single, grey)[0] - colour).max() < 1e-4


def test_a_truncated_file_is_rejected_with_the_name_of_the_layer(weights, tmp_path):
    cut = tmp_path / "cut.bin"
    cut.write_bytes(weights.read_bytes()[:100_000])
    with pytest.raises(UserError, match=r"body\.0\.rdb\d\.conv\d"):
        read_weights(cut, Generator(Shape(blocks=6, channels=3)).network)


def test_a_file_of_a_larger_network_is_refused(weights):
    with pytest.raises(UserError, match="belongs to another network"):
        read_weights(weights, Generator(Shape(blocks=5, channels=3)).network)


def test_weights_survive_safetensors_and_plain_torch_files(tmp_path):
    network = small_network()
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    torch.save({"params_ema": network.state_dict()}, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        found = read_weights(tmp_path / name, network)
        assert all(torch.equal(found[key], tensor) for key, tensor in network.state_dict().items())


def test_a_layer_that_does_not_fit_is_named(tmp_path):
    network = small_network()
    state = network.state_dict()
    state["conv_hr.weight"] = torch.zeros(9, 8, 3, 3)
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(
        UserError, match=r"'conv_hr\.weight' has shape \(9, 8, 3, 3\), but the network requires \(8, 8, 3, 3\)"
    ):
        read_weights(tmp_path / "a.safetensors", network)
    del state["conv_hr.weight"]
    save_file(state, tmp_path / "b.safetensors")
    with pytest.raises(UserError, match=r"'conv_hr\.weight' is missing"):
        read_weights(tmp_path / "b.safetensors", network)
    broken = {**network.state_dict(), "conv_last.bias": torch.tensor([torch.nan])}
    save_file(broken, tmp_path / "c.safetensors")
    with pytest.raises(UserError, match=r"'conv_last\.bias' contains NaN"):
        read_weights(tmp_path / "c.safetensors", network)


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("pwned"),))


def test_a_pickle_is_never_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"params": Malicious()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"evil\.pth"):
        read_weights(tmp_path / "evil.pth", small_network())
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("architecture", "factor"), [("rrdbnet", 1), ("rrdbnet", 2), ("rrdbnet", 3), ("srresnet", 4), ("fast_edsr", 2)]
)
def test_folding_is_exact_for_every_network(architecture, factor):
    colour = small_network(architecture=architecture, factor=factor, channels=3)
    single = small_network(architecture=architecture, factor=factor)
    single.load_state_dict(fold_to_one_channel(colour.state_dict(), 3))
    grey = np.random.default_rng(1).random((1, 8, 12), dtype=np.float32)
    mean = apply(colour, np.repeat(grey, 3, axis=0)).mean(axis=0)
    assert np.abs(apply(single, grey)[0] - mean).max() < 1e-5
    assert np.ptp(mean) > 1e-3


PUBLISHED = [
    "conv_first.weight",
    "conv_first.bias",
    *(f"body.0.rdb{b}.conv{c}.{kind}" for b in (1, 2, 3) for c in (1, 2, 3, 4, 5) for kind in ("weight", "bias")),
    *(
        f"{name}.{kind}"
        for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
        for kind in ("weight", "bias")
    ),
]
"""Names of the layers in the files that the authors of Real-ESRGAN published, for a network of one block."""


@pytest.mark.parametrize(("factor", "first_channels"), [(1, 48), (2, 12), (4, 3)])
def test_published_files_load_by_their_own_names(tmp_path, factor, first_channels):
    network = small_network(factor=factor, channels=3, unshuffle=True)
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert list(shapes) == PUBLISHED
    assert shapes["conv_first.weight"] == (8, first_channels, 3, 3)
    state = {name: torch.full(shape, 0.5, dtype=torch.float16) for name, shape in shapes.items()}
    torch.save({"params": {}, "params_ema": state}, tmp_path / "published.pth")
    found = read_weights(tmp_path / "published.pth", network)
    assert all(tensor.dtype == torch.float32 and bool((tensor == 0.5).all()) for tensor in found.values())


@pytest.mark.parametrize("architecture", ["rrdbnet", "srresnet", "fast_edsr"])
def test_a_generator_is_rebuilt_from_its_file(tmp_path, architecture):
    path = tmp_path / "generator.safetensors"
    generator = small_generator(architecture=architecture, factor=2, noise_map=True)
    generator.record = NetworkRecord(
        method="a", self_ensemble=4, consistency_weights=(ConsistencyWeight(0.0, 0.4),), recipe={"alpha": 0.4}
    )
    save_generator(path, generator)
    again = load_generator(path).eval()
    image = np.random.default_rng(0).random((1, 7, 9), dtype=np.float32)
    assert again.shape == generator.shape
    assert again.record == generator.record
    assert np.array_equal(apply(again, image), apply(generator, image))
    with safe_open(path, framework="pt") as stream:
        assert set(stream.keys()) == set(generator.network.state_dict())
    save_generator(path, again)
    assert load_generator(path).record == again.record


@pytest.mark.parametrize("record", [{}, {"record": json.dumps({"shares": []})}])
def test_a_file_of_another_version_is_refused(tmp_path, record):
    network = small_network()
    before = {"network": json.dumps({"blocks": 1, "features": 8, "growth": 4, "channels": 1}), **record}
    save_file(network.state_dict(), tmp_path / "old.safetensors", metadata=before)
    with pytest.raises(UserError, match=r"old.safetensors: was written by another version of BrainSR"):
        load_generator(tmp_path / "old.safetensors")


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        (None, "is not a generator of BrainSR"),
        ("[1]", "is not a generator of BrainSR"),
        ({"blocks": 1, "width": 8}, "width: Unexpected keyword"),
        ({"features": -8}, "features: Input should be greater than"),
        ({"neighbours": -1}, "neighbours: Input should be greater than"),
        ({"blocks": 10**9}, "blocks: Input should be less than"),
        ({"along": "rows"}, "along: Input should be 'both' or"),
        ({"architecture": "rrdbnett"}, "did you mean 'rrdbnet'"),
        ({"factor": 5}, "not by 5"),
        ({"blocks": 1, "features": 16, "growth": 4}, r"'conv_first\.weight' has shape \(8, 1, 3, 3\)"),
    ],
)
def test_a_file_that_describes_no_generator_is_refused(tmp_path, described, reason):
    path = tmp_path / "other.safetensors"
    metadata = {"network": json.dumps(described), "record": "{}"} if described else {"format": "pt"}
    if isinstance(described, str):  # under the key of BrainSR
        metadata = {METADATA: described}
    save_file(small_network().state_dict(), path, metadata=metadata)
    with pytest.raises(UserError, match=rf"other\.safetensors.*{reason}"):
        load_generator(path)


def test_ncnn_files_are_read_for_rrdbnet_alone(weights):
    with pytest.raises(UserError, match="only weights of the architecture rrdbnet"):
        read_weights(weights, small_network(architecture="srresnet"))


def test_convert_folds_any_network_that_a_source_describes(tmp_path):
    colour = small_network(factor=2, channels=3, unshuffle=True)
    torch.save({"params_ema": colour.state_dict()}, tmp_path / "x2.pth")
    described = {"factor": 2, "blocks": 1, "features": 8, "growth": 4, "trained_on": "nothing"}
    entry = {"kind": "local", "path": "x2.pth", "network": described}
    convert_weights.run(
        convert_weights.Options(
            weights=tmp_path / "x2.pth",
            source=read_entry(Source, json.dumps(entry), "source"),
            output=tmp_path / "out",
            factor=2,
        )
    )
    generator = load_generator(tmp_path / "out/generator.safetensors").eval()
    assert generator.shape == replace(SMALL, factor=2, unshuffle=True)
    grey = np.random.default_rng(2).random((1, 5, 6), dtype=np.float32)
    mean = apply(colour, np.repeat(grey, 3, axis=0)).mean(axis=0)
    assert np.abs(apply(generator, grey)[0] - mean).max() < 1e-5


@pytest.mark.parametrize(("factor", "along"), [(2, "both"), (3, "both"), (8, "both"), (1, "both"), (4, "columns")])
def test_weights_of_one_factor_initialise_another(factor, along):
    network = small_generator()
    adapted = enlarging_by(network, replace(SMALL, factor=factor, along=along)).eval()
    before, after = network.network.state_dict(), adapted.network.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items() if name in before)
    assert [name for name in after if name not in before] == (
        ["conv_up3.weight", "conv_up3.bias"] if factor == 8 else []
    )
    if factor == 8:
        assert torch.equal(after["conv_up3.weight"], before["conv_up2.weight"])
    rows, columns = (factor if along == "both" else 1), factor
    assert apply(adapted, np.ones((1, 6, 7), dtype=np.float32)).shape == (1, 6 * rows, 7 * columns)
    assert enlarging_by(network, SMALL) is network


def test_weights_that_cannot_initialise_another_factor_are_rejected():
    network = small_generator(architecture="srresnet")
    with pytest.raises(UserError, match=r"srresnet: the weights .* \(4, 4\) cannot initialise .* \(2, 2\)"):
        enlarging_by(network, replace(network.shape, factor=2))
