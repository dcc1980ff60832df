"""VGG features: the file of the brain tumour network against ONNX itself, torchvision's layout against plain torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.external_data_helper import set_external_data
from onnx.reference import ReferenceEvaluator
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.config.known import known_sources
from pipeline.config.load import read_entry
from pipeline.config.sources import Source
from pipeline.errors import UserError
from pipeline.models.vgg import VggFeatures, read_vgg, save_vgg
from pipeline.steps import convert_vgg
from tests.known import known_file

TUMOR = "vgg16-brain-tumor"
LAYOUTS = {
    "vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "vgg19": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}
"""Configurations D and E of table 1 of the paper; M is a pooling."""


def features(weights: Path, source: Any, output: Path) -> None:
    convert_vgg.run(convert_vgg.Options(weights=weights, source=source, output=output))


def random_image(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).random(shape, dtype=np.float32))


def sequential(layout: str) -> nn.Sequential:
    """Return the layers as torchvision lays them out, with random weights of a size that keeps features alive."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    before = 3
    for word in layout.split():
        if word == "M":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        convolution = nn.Conv2d(before, int(word), 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight)
        layers += [convolution, nn.ReLU()]
        before = int(word)
    return nn.Sequential(*layers)


def torchvision_state(layers: nn.Sequential) -> dict[str, Tensor]:
    classifier = {"classifier.0.weight": torch.zeros(4, 7), "classifier.0.bias": torch.zeros(4)}
    return {**{f"features.{name}": tensor for name, tensor in layers.state_dict().items()}, **classifier}


def hollow(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of the same names and shapes that take no room on the disk."""
    return {name: torch.zeros(()).expand(tensor.shape) for name, tensor in state.items()}


@pytest.fixture(scope="module")
def tumor_file() -> Path:
    return known_file(TUMOR)


@pytest.fixture(scope="module")
def tumor(tumor_file) -> VggFeatures:
    return read_vgg(tumor_file)


@pytest.fixture(scope="module")
def layers() -> nn.Sequential:
    return sequential(LAYOUTS["vgg19"])


@pytest.fixture(scope="module")
def state(layers) -> Mapping[str, Tensor]:
    return torchvision_state(layers)


def up_to_its_convolutions(path: Path, outputs: list[str]) -> onnx.ModelProto:
    """Return the graph without the classifier, which takes images of one size only, and with other outputs."""
    model = onnx.load(path)
    last = next(index for index, node in enumerate(model.graph.node) if outputs[-1] in node.output)
    del model.graph.node[last + 1 :]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in outputs)
    return model


def test_features_of_the_tumour_network_are_those_of_its_graph(tumor, tumor_file):
    image = random_image(1, 3, 18, 21)
    block = "functional_1/block"
    names = {f"{block}1_conv2_1/BiasAdd:0": ("conv1_2", True), f"{block}3_conv1_1/Relu:0": ("conv3_1", False)}
    names[f"{block}5_conv3_1/BiasAdd:0"] = ("conv5_3", True)
    model = up_to_its_convolutions(tumor_file, list(names))
    wanted: Any = ReferenceEvaluator(model).run(None, {"input": image.permute(0, 2, 3, 1).numpy()})
    for (layer, before), expected in zip(names.values(), wanted, strict=True):
        found = tumor(image, [layer], before_activation=before)[layer].numpy()
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max(), layer
    assert np.min(wanted[0]) < 0 == np.min(wanted[1])


def test_a_grey_image_is_used_as_three_equal_channels(tumor):
    grey = random_image(2, 1, 8, 8)
    one = tumor(grey, ["conv2_2"], before_activation=False)["conv2_2"]
    assert torch.equal(one, tumor(grey.repeat(1, 3, 1, 1), ["conv2_2"], before_activation=False)["conv2_2"])
    assert one.shape == (2, 128, 4, 4)


def test_gradients_reach_the_image_and_no_weight(tumor):
    image = random_image(1, 1, 16, 16).requires_grad_()
    tumor(image, ["conv5_3"], before_activation=True)["conv5_3"].abs().mean().backward()
    assert image.grad is not None and float(image.grad.abs().max()) > 0
    assert not any(parameter.requires_grad for parameter in tumor.parameters())
    assert not tumor.training


def test_layers_after_the_deepest_one_are_not_computed(tumor, monkeypatch):
    calls: list[str] = []
    for name, convolution in tumor.convolutions.items():
        convolution.register_forward_hook(lambda *_, name=name: calls.append(name))
    try:
        found = tumor(random_image(1, 1, 8, 8), ["conv2_1", "conv1_1"], before_activation=True)
    finally:
        for convolution in tumor.convolutions.values():
            convolution._forward_hooks.clear()
    assert list(found) == ["conv2_1", "conv1_1"]
    assert calls == ["conv1_1", "conv1_2", "conv2_1"]


def test_unknown_layers_and_small_images_are_refused(tumor):
    with pytest.raises(UserError, match=r"vgg16 has no layer 'conv5_4'; did you mean 'conv5_3'"):
        tumor(random_image(1, 1, 32, 32), ["conv5_4"], before_activation=True)
    with pytest.raises(UserError, match=r"conv5_1: an image of 15 x 40 pixels is too small; at least 16 x 16"):
        tumor(random_image(1, 1, 15, 40), ["conv5_1", "conv1_1"], before_activation=True)
    assert tumor(random_image(1, 1, 16, 17), ["conv5_1"], before_activation=True)["conv5_1"].shape == (1, 512, 1, 1)


def test_safetensors_keep_the_network_and_its_input(tumor, tmp_path):
    save_vgg(tmp_path / "features.safetensors", tumor)
    again = read_vgg(tmp_path / "features.safetensors")
    assert (again.architecture, again.normalisation) == ("vgg16", "none")
    image = random_image(1, 1, 8, 8)
    one, other = (vgg(image, ["conv3_3"], before_activation=True)["conv3_3"] for vgg in (tumor, again))
    assert torch.equal(one, other)


def test_torchvision_weights_reproduce_its_features(layers, state, tmp_path):
    path = tmp_path / "vgg19.pth"
    torch.save(state, path)
    vgg = read_vgg(path)
    assert (vgg.architecture, vgg.normalisation) == ("vgg19", "imagenet")
    image = random_image(1, 3, 35, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = ((image.permute(0, 2, 3, 1) - mean) / std).permute(0, 3, 1, 2)
    # Positions in torchvision's list: conv3_4 is 16, the ReLU after it 17; conv5_4 is 34, its ReLU 35.
    for before, (middle, last) in ((True, (16, 34)), (False, (17, 35))):
        found = vgg(image, ["conv3_4", "conv5_4"], before_activation=before)
        for name, position in (("conv3_4", middle), ("conv5_4", last)):
            with torch.inference_mode():
                expected = layers[: position + 1](normalised)
            assert found[name].shape == expected.shape
            assert float((found[name] - expected).abs().max()) < 1e-5 * float(expected.abs().max()), name


def test_torchvision_vgg16_is_distinguished_from_vgg19(tmp_path):
    torch.save(hollow(torchvision_state(sequential(LAYOUTS["vgg16"]))), tmp_path / "weights.pth")
    assert read_vgg(tmp_path / "weights.pth").architecture == "vgg16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.10.weight": torch.zeros(256, 256, 1, 1)}, r"'features\.10\.weight' has shape \(256, 256, 1, 1\)"),
        ({"features.2.weight": None}, r"'features\.2\.weight' is missing"),
        ({"features.1.weight": torch.zeros(64)}, r"has no layer 'features\.1\.weight'"),
    ],
)
def test_torchvision_layers_that_do_not_fit_are_named(state, tmp_path, change, message):
    changed = {name: tensor for name, tensor in {**hollow(state), **change}.items() if tensor is not None}
    torch.save(changed, tmp_path / "other.pth")
    with pytest.raises(UserError, match=rf"other\.pth: .*{message}"):
        read_vgg(tmp_path / "other.pth")


def onnx_file(path: Path, shapes: list[tuple[int, ...]], *, bias: bool = True, external: bool = False) -> Path:
    """Write a graph of convolutions one after the other."""
    nodes, stored = [], []
    for number, shape in enumerate(shapes):
        names = [f"w{number}", f"b{number}"][: 2 if bias else 1]
        nodes.append(onnx.helper.make_node("Conv", [f"x{number}", *names], [f"x{number + 1}"]))
        arrays = (np.zeros(shape, dtype=np.float32), np.zeros(shape[0], dtype=np.float32))
        stored += [onnx.numpy_helper.from_array(array, name) for name, array in zip(names, arrays, strict=False)]
    if external:
        set_external_data(stored[0], "/etc/passwd")
    graph = onnx.helper.make_graph(nodes, "g", [], [], initializer=stored)
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    return path


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        ([(8, 3, 3, 3)] * 5, {}, r"has 5 convolutions, but a VGG has 13 \(vgg16\) or 16 \(vgg19\)"),
        ([(64, 3, 3, 3), (64, 64, 5, 5)] + [(8, 8, 3, 3)] * 11, {}, r"'conv1_2\.weight' has shape \(64, 64, 5, 5\)"),
        ([(8, 3, 3, 3)] * 13, {"bias": False}, r"output 'x1' has no stored weight and bias"),
        ([(8, 3, 3, 3)] * 13, {"external": True}, r"'w0' are stored in another file"),
    ],
)
def test_other_onnx_files_are_refused(tmp_path, shapes, options, message):
    path = onnx_file(tmp_path / "other.onnx", shapes, **options)
    with pytest.raises(UserError, match=rf"other\.onnx: .*{message}"):
        read_vgg(path)


@pytest.mark.parametrize("name", ["a.onnx", "a.pth", "a.safetensors"])
def test_damaged_and_missing_files_are_refused(tmp_path, name):
    with pytest.raises(UserError, match=name):
        read_vgg(tmp_path / name)
    (tmp_path / name).write_bytes(b"not a network at all")
    with pytest.raises(UserError, match=name):
        read_vgg(tmp_path / name)


def test_safetensors_of_another_program_are_refused(tmp_path):
    for name, described in (("a", None), ("b", {"architecture": "vgg11", "normalisation": "none"})):
        metadata = {"vgg": json.dumps(described)} if described else None
        save_file({"w": torch.zeros(1)}, tmp_path / f"{name}.safetensors", metadata=metadata)
        with pytest.raises(UserError, match=rf"{name}\.safetensors: is not a feature network of BrainSR"):
            read_vgg(tmp_path / f"{name}.safetensors")


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("pwned"),))


def test_a_pickle_is_never_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"features.0.weight": Malicious()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"evil\.pth"):
        read_vgg(tmp_path / "evil.pth")
    assert not (tmp_path / "pwned").exists()


def entry(**changes: Any) -> Source:
    return read_entry(Source, json.dumps({"kind": "local", "path": "x", **changes}), "source")


def test_the_stage_writes_what_training_reads(tumor, tumor_file, tmp_path):
    convert_vgg.run(
        convert_vgg.Options(weights=tumor_file, source=known_sources()[TUMOR], output=tmp_path / "features.safetensors")
    )
    again = read_vgg(tmp_path / "features.safetensors")
    expected = tumor.state_dict()
    assert all(torch.equal(expected[name], tensor) for name, tensor in again.state_dict().items())


def test_the_stage_refuses_what_its_source_does_not_describe(tumor_file, tmp_path):
    with pytest.raises(UserError, match="no `features`"):
        features(tumor_file, entry(), tmp_path / "out.safetensors")
    with pytest.raises(UserError, match="is a vgg16, but its source says features: vgg19"):
        convert_vgg.run(
            convert_vgg.Options(weights=tumor_file, source=entry(features="vgg19"), output=tmp_path / "out.safetensors")
        )
    assert not (tmp_path / "out.safetensors").exists()
