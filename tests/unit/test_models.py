"""Networks and their weights, against implementations that are not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ncnn as ncnn_package
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data

from pipeline.errors import UserError
from pipeline.models.rrdbnet import RRDBNet
from pipeline.models.weights import fold_to_one_channel, load_generator, read_weights, save_generator
from tests.known import graph_of, known_file

ncnn: Any = ncnn_package  # it has no type hints


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """A part of a real photograph, shape (3, rows, columns), 0 to 1; odd sizes on purpose."""
    return np.ascontiguousarray((data.astronaut()[90:131, 200:235] / 255.0).astype(np.float32).transpose(2, 0, 1))


@pytest.fixture(scope="module")
def weights() -> Path:
    return known_file("realesrgan-6b")


def converted(weights: Path, blocks: int) -> RRDBNet:
    network = RRDBNet(blocks=blocks, channels=3)
    network.load_state_dict(read_weights(weights, network))
    return network.eval()


@pytest.fixture(scope="module")
def colour_network(weights: Path) -> RRDBNet:
    return converted(weights, blocks=6)


def apply(network: RRDBNet, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(image)[None])[0].numpy()


def small_network(seed: int = 0, channels: int = 1) -> RRDBNet:
    torch.manual_seed(seed)
    return RRDBNet(blocks=1, features=8, growth=4, channels=channels).eval()


def ncnn_makes(name: str, photograph: np.ndarray) -> np.ndarray:
    """Returns what ncnn makes of a photograph with the weights and the graph that the package distributes."""
    peer = ncnn.Net()
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_winograd_convolution"):
        setattr(peer.opt, option, False)
    assert peer.load_param(str(graph_of(name))) == 0
    assert peer.load_model(str(known_file(name))) == 0
    extractor = peer.create_extractor()
    extractor.input("data", ncnn.Mat(photograph))
    return np.array(extractor.extract("output")[1])


def test_converted_weights_give_what_ncnn_makes_of_a_photograph(colour_network, photograph):
    ours = apply(colour_network, photograph)
    assert ours.shape == (3, 4 * photograph.shape[1], 4 * photograph.shape[2])
    assert np.abs(ours - ncnn_makes("realesrgan-6b", photograph)).max() < 1e-4


@pytest.mark.long
def test_the_network_of_23_blocks_gives_what_ncnn_makes_of_a_photograph(photograph):
    ours = apply(converted(known_file("realesrgan-x4plus"), blocks=23), photograph)
    assert np.abs(ours - ncnn_makes("realesrgan-x4plus", photograph)).max() < 1e-4


def test_folding_to_one_channel_is_exact_for_grey_images(colour_network, photograph):
    grey = photograph.mean(axis=0, keepdims=True)
    single = RRDBNet(blocks=6)
    single.load_state_dict(fold_to_one_channel(colour_network.state_dict()))
    colour = apply(colour_network, np.repeat(grey, 3, axis=0)).mean(axis=0)
    assert np.abs(apply(single, grey)[0] - colour).max() < 1e-4


def test_a_cut_file_is_refused_and_names_the_layer(weights, tmp_path):
    cut = tmp_path / "cut.bin"
    cut.write_bytes(weights.read_bytes()[:100_000])
    with pytest.raises(UserError, match=r"body\.0\.rdb\d\.conv\d"):
        read_weights(cut, RRDBNet(blocks=6, channels=3))


def test_a_file_of_a_larger_network_is_refused(weights):
    with pytest.raises(UserError, match="of another network"):
        read_weights(weights, RRDBNet(blocks=5, channels=3))


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
        UserError, match=r"'conv_hr\.weight' has shape \(9, 8, 3, 3\), the network needs \(8, 8, 3, 3\)"
    ):
        read_weights(tmp_path / "a.safetensors", network)
    del state["conv_hr.weight"]
    save_file(state, tmp_path / "b.safetensors")
    with pytest.raises(UserError, match=r"'conv_hr\.weight' is missing"):
        read_weights(tmp_path / "b.safetensors", network)


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("pwned"),))


def test_a_pickle_is_never_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"params": Malicious()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"evil\.pth"):
        read_weights(tmp_path / "evil.pth", small_network())
    assert not (tmp_path / "pwned").exists()


def test_a_generator_is_rebuilt_from_its_file(tmp_path):
    network = small_network()
    shape = {"blocks": 1, "features": 8, "growth": 4, "channels": 1}
    save_generator(tmp_path / "generator.safetensors", network, shape)
    again, found = load_generator(tmp_path / "generator.safetensors")
    image = np.random.default_rng(0).random((1, 7, 9), dtype=np.float32)
    assert found == shape
    assert np.array_equal(apply(again.eval(), image), apply(network, image))


@pytest.mark.parametrize("size", [(1, 1), (3, 8), (17, 5)])
def test_the_network_enlarges_any_size_by_four(size):
    image = np.zeros((1, *size), dtype=np.float32)
    assert apply(small_network(), image).shape == (1, 4 * size[0], 4 * size[1])
