"""Results of the stages of a combination on disk, from which an interrupted one continues."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.files import read_json, replacing, write_json
from pipeline.image.rigid import Rigid
from pipeline.inference.combine.scan import Scan

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stages:
    """Results of stages in a folder.

    Attributes:
        folder: where the results are stored; None stores nothing.
    """

    folder: Path | None

    @classmethod
    def beside(cls, output: Path, inputs: Any) -> Stages:
        """Return the stages of one result, in a hidden folder beside it.

        Args:
            output: the result.
            inputs: everything that the result depends on, as JSON-compatible values; other inputs have other stages.
        """
        digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
        folder = output.parent / f"{_prefix(output)}{digest}"
        if folder.is_dir():
            logger.info("continuing an interrupted combination from %s", folder)
        return cls(folder)

    @staticmethod
    def remove(output: Path) -> None:
        """Remove the stages of a result, also those of other inputs."""
        for folder in output.parent.glob(f"{_prefix(output)}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def scans(self, scans: Sequence[Scan], compute: Callable[[], tuple[Scan, ...]]) -> tuple[Scan, ...]:
        """Return scans with computed motion, intensities and weights, or with the stored ones.

        Args:
            scans: the scans before the stage.
            compute: the stage.
        """
        path = self.folder and self.folder / "motion.json"
        if path and path.is_file():
            return tuple(_with(scan, record) for scan, record in zip(scans, read_json(path), strict=True))
        found = compute()
        if path:
            write_json(path, [_record(scan) for scan in found])
        return found

    def array(self, name: str, compute: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return a computed array, or the stored one."""
        path = self.folder and self.folder / f"{name}.npy"
        if path and path.is_file():
            return np.load(path)
        found = compute()
        if path:
            with replacing(path) as partial, partial.open("wb") as stream:
                np.save(stream, found)
        return found


def _prefix(output: Path) -> str:
    return f".{output.name}.combine-"


def _record(scan: Scan) -> dict[str, Any]:
    return {
        "motion": scan.motion.as_json(),
        "gain": scan.gain,
        "offset": scan.offset,
        "slice_weights": scan.slice_weights.tolist(),
    }


def _with(scan: Scan, record: dict[str, Any]) -> Scan:
    motion = Rigid.from_json(record["motion"])
    weights = np.array(record["slice_weights"])
    return replace(scan, motion=motion, gain=record["gain"], offset=record["offset"], slice_weights=weights)
