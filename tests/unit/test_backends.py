"""Every backend computes what torch does."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from pipeline import plugins
from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.inference import forward_pass as engines
from pipeline.inference.forward_pass import BACKENDS, FASTEST_FIRST, REFERENCE, chosen_backend, engine_for
from pipeline.inference.volume import restore_volume
from pipeline.models.generator import Generator, Shape

BOUND = 1e-4
"""Of the normalised range."""
needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler is installed")
OTHERS = [name for name in plugins.names(BACKENDS) if name != REFERENCE]
SHAPES = [
    Shape(blocks=1, features=32, growth=16, noise_map=True),
    Shape(blocks=1, features=16, growth=8),
    Shape(blocks=1, features=16, growth=8, factor=2, unshuffle=True, noise_map=True),
    Shape(blocks=1, features=16, growth=8, factor=3, along="columns"),
    Shape(blocks=1, features=16, growth=8, factor=8),
    Shape("srresnet", blocks=2, features=16, noise_map=True),
    Shape("fast_edsr", factor=2, blocks=2, features=16, noise_map=True),
    Shape("fast_edsr", blocks=2, features=16, neighbours=2),
]


def generator(shape: Shape) -> Generator:
    torch.manual_seed(3)
    network = Generator(shape).eval()
    with torch.no_grad():
        # As large as trained ones, so that rounding shows.
        for weight in network.parameters():
            weight.mul_(2.0)
    return network


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.architecture}-{shape.factor}-{shape.along}")
def test_every_backend_agrees_with_torch(name, shape):
    network = generator(shape)
    images = np.random.default_rng(1).random((3, 2, shape.depth, 13, 18), dtype=np.float32)
    expected = engine_for(network, Infer(backend="torch")).restore(images, 0.03)
    found = engine_for(network, Infer(backend=name)).restore(images, 0.03)
    assert found.shape == expected.shape == (3, 2, 13 * network.factors[0], 18 * network.factors[1])
    assert np.ptp(expected) > 0.1
    assert np.abs(found - expected).max() < BOUND * max(1, np.ptp(expected))
    other = engine_for(network, Infer(backend=name)).restore(images, 0.5)
    assert np.array_equal(other, found) != shape.noise_map, "the noise is told"


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_threads_batches_and_memory_do_not_change_a_slice(monkeypatch, name):
    network = generator(SHAPES[0])
    images = np.random.default_rng(1).random((5, 1, 24, 30), dtype=np.float32)
    together = engine_for(network, Infer(backend=name, threads=2)).restore(images, 0.03)
    alone = [engine_for(network, Infer(backend=name, threads=1)).restore(one, 0.03) for one in images]
    assert np.array_equal(together, np.stack(alone))
    monkeypatch.setattr("pipeline.inference.memory.ACTIVATION_SHARE", 0.0)
    narrow = engine_for(generator(SHAPES[0]), Infer(backend=name, threads=2)).restore(images, 0.03)
    assert np.array_equal(together, narrow)


def test_auto_selects_the_fastest_installed_backend():
    network = generator(SHAPES[1])
    assert chosen_backend(network, "auto") == "openvino"
    assert chosen_backend(torch.nn.Conv2d(1, 1, 3), "auto") == REFERENCE, "which no other backend could read"
    assert {*FASTEST_FIRST} <= {*plugins.names(BACKENDS)}


def test_a_missing_backend_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    network = generator(SHAPES[1])
    assert chosen_backend(network, "auto") == REFERENCE
    with pytest.raises(UserError, match=r"infer.backend: openvino is not installed.*pip install openvino"):
        engine_for(network, Infer(backend="openvino"))


def test_engines_are_cached_and_released_with_their_network(monkeypatch):
    made = []
    module = plugins.load(BACKENDS, "openvino")
    prepare = module.prepare
    monkeypatch.setattr(module, "prepare", lambda *given: made.append(given) or prepare(*given))
    network = generator(SHAPES[1])
    for _ in range(2):
        engine_for(network, Infer())
    assert len(made) == 1
    image = np.random.default_rng(1).random((1, 9, 9), dtype=np.float32)
    before = engine_for(network, Infer()).restore(image, 0.0)
    with torch.no_grad():
        next(network.parameters()).mul_(2.0)
    after = engine_for(network, Infer()).restore(image, 0.0)
    assert np.abs(after - before).max() > 1e-3, "weights that change are seen"
    assert np.abs(after - engine_for(network, Infer(backend="torch")).restore(image, 0.0)).max() < BOUND
    count = len(engines._ready)
    made.clear()
    del network
    assert len(engines._ready) == count - 1


@pytest.mark.parametrize("name", ["openvino", "torch"])
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_the_effect_of_a_lower_precision_is_logged(caplog, name, precision):
    caplog.set_level("INFO")
    network = generator(SHAPES[0])
    volume = np.random.default_rng(1).random((20, 24, 3), dtype=np.float32)
    exact, lower = (
        restore_volume(network, volume, (4, 4, 1), 2, Infer(backend=name, precision=one), 0.03)
        for one in ("float32", precision)
    )
    changed = np.abs(exact - lower)[..., 1].max()
    assert 0 <= changed < 0.05
    [told] = [record.args for record in caplog.records if record.msg.startswith("%s changes %s")]
    assert told[:2] == (precision, "the middle slice")
    assert told[2] == pytest.approx(changed, rel=0.02, abs=1e-5)


def test_onnx_runtime_rejects_lower_precisions():
    with pytest.raises(UserError, match=r"infer\.precision: bfloat16"):
        engine_for(generator(SHAPES[1]), Infer(backend="onnxruntime", precision="bfloat16"))


@needs_a_compiler
def test_compilation_does_not_change_the_result(monkeypatch):
    network = generator(SHAPES[0])
    images = np.random.default_rng(1).random((3, 1, 18, 22), dtype=np.float32)
    expected = engine_for(network, Infer(backend="torch")).restore(images, 0.03)
    compiled = engine_for(network, Infer(backend="torch", compile=True))
    assert np.abs(compiled.restore(images, 0.03) - expected).max() < BOUND * np.ptp(expected)
    monkeypatch.setattr(torch, "compile", None)
    assert engine_for(network, Infer(backend="torch", compile=True)) is compiled, "which is done once"


def test_failed_compilation_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/no/compiler"))
    torch.compiler.reset()
    engine = engine_for(generator(SHAPES[1]), Infer(backend="torch", compile=True))
    with pytest.raises(UserError, match=r"cannot compile networks here \(.*no/compiler.*Set infer\.compile: false"):
        engine.restore(np.zeros((1, 12, 14), dtype=np.float32), 0.0)
