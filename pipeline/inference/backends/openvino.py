"""OpenVINO, the fastest on processors (docs/performance.md).

Several slices are computed at once, each by threads of its own, so that no thread waits for another between layers;
a single one is computed by all threads together. A slice's values are the same either way.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.inference.backends._compute import Compute
from pipeline.inference.backends._onnx import as_onnx, readable
from pipeline.inference.memory import bytes_per_voxel, passes_at_once
from pipeline.models.generator import Generator

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
SIZES_KEPT = 8
"""Sizes of slices for which the network is kept ready. Each takes as much memory as the weights."""


def usable(network: nn.Module) -> bool:
    """Whether the package is there and the network in the processor's memory."""
    return readable(network, "openvino")


def prepare(network: Generator, settings: Infer) -> Compute:
    """Return a function that readies the network for each size of slices that it meets."""
    import openvino

    threads = settings.threads
    core, source = openvino.Core(), as_onnx(network, at_once=True)
    factors, noise_map, need = network.factors, network.shape.noise_map, bytes_per_voxel(network)

    @lru_cache(maxsize=SIZES_KEPT)
    def requests_for(rows: int, columns: int, streams: int) -> list[Any]:
        model = core.read_model(source)
        fixed = {"image": [1, 1, rows, columns], "sigma": [1]}
        model.reshape({name: fixed[name] for one in model.inputs for name in one.names})
        # Without the hint, processors that multiply bfloat16 would do so.
        hints = {"INFERENCE_PRECISION_HINT": PRECISIONS[settings.precision]}
        compiled = core.compile_model(model, "CPU", {**hints, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams})
        return [compiled.create_infer_request() for _ in range(streams)]

    def restore(images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        count, rows, columns = images.shape
        restored = np.empty((count, rows * factors[0], columns * factors[1]), dtype=np.float32)
        requests = requests_for(rows, columns, min(count, passes_at_once(need * rows * columns, threads)))
        told = {"sigma": np.array([sigma], dtype=np.float32)} if noise_map else {}
        running: deque[tuple[Any, int]] = deque()

        def finish() -> None:
            request, place = running.popleft()
            request.wait()
            restored[place] = request.get_output_tensor().data[0, 0]

        try:
            for place, image in enumerate(images):
                if len(running) == len(requests):
                    finish()
                request = requests[place % len(requests)]
                request.start_async({"image": np.ascontiguousarray(image)[None, None], **told})
                running.append((request, place))
            while running:
                finish()
        except RuntimeError as error:
            raise UserError(
                f"OpenVINO cannot compute {rows} x {columns} voxels ({error}). Give infer.tile_lr a smaller value, or "
                "set infer.backend: torch."
            ) from error
        return restored

    return restore
