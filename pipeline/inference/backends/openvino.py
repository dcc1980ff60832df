"""OpenVINO, the fastest backend on CPUs (docs/performance.md).

Several slices are computed concurrently, each by its own threads, so that no thread waits for another between layers;
a single slice is computed by all threads. On some processors the last digits depend on the number of threads per slice,
which therefore depends on the number of slices and not on the free memory.
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
    def requests_for(rows: int, columns: int, streams: int, threads_each: int) -> list[Any]:
        model = core.read_model(source)
        fixed = {"image": [1, depth, rows, columns], "sigma": [1]}
        model.reshape({name: fixed[name] for one in model.inputs for name in one.names})
        # Without the hint, CPUs that support bfloat16 would use it.
        hints = {"INFERENCE_PRECISION_HINT": PRECISIONS[settings.precision]}
        limits = {"INFERENCE_NUM_THREADS": threads_each * streams, "NUM_STREAMS": streams}
        compiled = core.compile_model(model, "CPU", {**hints, **limits})
        return [compiled.create_infer_request() for _ in range(streams)]

    def restore(images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        count, _, rows, columns = images.shape
        restored = np.empty((count, rows * factors[0], columns * factors[1]), dtype=np.float32)
        wanted = min(count, threads)
        streams = min(wanted, concurrent_slices(need * rows * columns, threads))
        requests = requests_for(rows, columns, streams, threads // wanted)
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
