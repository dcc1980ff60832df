"""Devices, precision and distributed training with Lightning Fabric."""

from __future__ import annotations

import os
import warnings

from lightning.fabric import Fabric

from pipeline.models.device import choose_device


def start_engine(device: str, precision: str) -> Fabric:
    """Return a launched Fabric.

    Under torchrun the work is distributed over its processes; otherwise there is one process on one device.

    Args:
        device: auto, cpu or cuda.
        precision: 32-true, bf16-mixed or 16-mixed.

    Raises:
        UserError: cuda was requested and is not available.
    """
    place = choose_device(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    with warnings.catch_warnings():
        # Fabric recommends its own launcher and cluster settings, which torchrun and Slurm have already set.
        warnings.simplefilter("ignore")
        engine = Fabric(
            accelerator=place.type,
            devices=local,
            num_nodes=max(1, world // local),
            strategy="ddp" if world > 1 else "auto",
            precision=precision,  # pyright: ignore[reportArgumentType]
        )
        engine.launch()
    return engine
