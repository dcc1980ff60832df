"""Images between the stages: one safetensors file a volume, which is memory-mapped when it is read.

The header of the file holds the metadata as JSON, the body the intensities ("data") and the masks.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap

SUFFIX = ".safetensors"


def write_image(path: Path, image: Image) -> None:
    """Writes an image, whole or not at all."""
    arrays = {"data": np.ascontiguousarray(image.data)}
    arrays |= {f"mask.{name}": np.ascontiguousarray(mask) for name, mask in image.masks.items()}
    metadata = {
        "affine": np.asarray(image.affine, dtype=np.float64).tolist(),
        "intensity": asdict(image.intensity),
        "axes": image.axes,
        "unit": image.unit,
        "origin": image.origin,
        "facts": image.facts,
    }
    with replacing(path) as partial:
        save_file(arrays, partial, metadata={"image": json.dumps(metadata, sort_keys=True)})


def read_image(path: Path) -> Image:
    """Reads an image that `write_image` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    with _open(path) as stream:
        metadata = _metadata(stream)
        names = list(stream.keys())
        masks = {name.removeprefix("mask."): stream.get_tensor(name) for name in names if name.startswith("mask.")}
        return Image(
            data=stream.get_tensor("data"),
            affine=np.array(metadata["affine"]),
            intensity=IntensityMap(**metadata["intensity"]),
            axes=tuple(metadata["axes"]),
            unit=metadata["unit"],
            origin=metadata["origin"],
            masks=masks,
            facts=metadata["facts"],
        )


def read_facts(path: Path) -> dict[str, Any]:
    """Reads only what the stages recorded about a volume; errors as `read_image`."""
    with _open(path) as stream:
        return _metadata(stream)["facts"]


def _metadata(stream: Any) -> dict[str, Any]:
    return json.loads(stream.metadata()["image"])


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path}: {error}. Delete it and run again.") from error
