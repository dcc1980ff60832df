"""OpenVINO, the fastest backend on CPUs (docs/performance.md).

Several slices are computed concurrently, each by its own threads, so that no thread waits for another between layers;
a single slice is computed by all threads. The values are the same in both cases.
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
from pipeline.inference.backends._onnx import supports, to_onnx
from pipeline.inference.memory import bytes_per_voxel, concurrent_slices
from pipeline.models.generator import Generator

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
MAX_COMPILED = 8
"""Number of slice sizes whose compiled networks are cached. Each needs as much memory as the weights."""


def usable(network: nn.Module) -> bool:
    """Return whether OpenVINO is installed and the network is on the CPU."""
    return supports(network, "openvino")


def prepare(network: Generator, settings: Infer) -> Compute:
    """Return a function that compiles the network for each new size of slices."""
    import openvino

    threads = settings.threads
    core, source = openvino.Core(), to_onnx(network, fuse_upsampling=True)
    factors, noise_map, need = network.factors, network.shape.noise_map, bytes_per_voxel(network)
    depth = network.shape.depth

    @lru_cache(maxsize=MAX_COMPILED)
    def requests_for(rows: int, columns: int, streams: int) -> list[Any]:
        model = core.read_model(source)
        fixed = {"image": [1, depth, rows, columns], "sigma": [1]}
        model.reshape({name: fixed[name] for one in model.inputs for name in one.names})
        # Without the hint, CPUs that support bfloat16 would use it.
        hints = {"INFERENCE_PRECISION_HINT": PRECISIONS[settings.precision]}
        compiled = core.compile_model(model, "CPU", {**hints, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams})
        return [compiled.create_infer_request() for _ in range(streams)]

    def restore(images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        count, _, rows, columns = images.shape
        restored = np.empty((count, rows * factors[0], columns * factors[1]), dtype=np.float32)
        requests = requests_for(rows, columns, min(count, concurrent_slices(need * rows * columns, threads)))
        noise = {"sigma": np.array([sigma], dtype=np.float32)} if noise_map else {}
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
                request.start_async({"image": np.ascontiguousarray(image)[None], **noise})
                running.append((request, place))
            while running:
                finish()
        except RuntimeError as error:
            raise UserError(
                f"OpenVINO cannot compute slices of {rows} x {columns} voxels ({error}). Lower infer.tile_lr, or set "
                "infer.backend: torch."
            ) from error
        return restored

    return restore
