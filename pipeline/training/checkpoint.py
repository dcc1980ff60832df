"""Checkpoints of a training: two generations beside the results, written atomically and identified by a key."""

from __future__ import annotations

import logging
import pickle
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from pipeline.files import replacing
from pipeline.training.lease import lease

logger = logging.getLogger(__name__)


class CheckpointFolder:
    """Folder with the resume state of one training.

    Args:
        folder: created when it is needed.
        key: hash of everything that the training depends on; a state with another key is not resumed.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key
        self._generations = (folder / "generation-0.pt", folder / "generation-1.pt")

    def lease(self) -> AbstractContextManager[None]:
        """Return a context manager that excludes other processes from this folder.

        Raises:
            UserError: another process has the lease.
        """
        return lease(self._folder)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the state in place of the older of the two generations."""
        steps = [content["step"] if content else -1 for content in map(self._read, self._generations)]
        target = self._generations[steps.index(min(steps))]
        with replacing(target) as partial:
            torch.save({"key": self._key, "step": step, "state": state}, partial)

    def latest(self) -> dict[str, Any] | None:
        """Return the newest state that belongs to this training; None if there is none."""
        contents = [content for content in map(self._read, self._generations) if content]
        fitting = [content for content in contents if content["key"] == self._key]
        if contents and not fitting:
            logger.info(
                "settings, data, weights or code have changed since the checkpoint: training from the beginning"
            )
        if not fitting:
            return None
        newest = max(fitting, key=lambda content: content["step"])
        logger.info("continuing after step %d", newest["step"])
        return newest["state"]

    def remove_stale(self) -> None:
        """Remove generations that belong to another training."""
        for path in self._generations:
            content = self._read(path)
            if content is None or content["key"] != self._key:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all resume state, so that a forced rerun trains again."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @staticmethod
    def _read(path: Path) -> dict[str, Any] | None:
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            logger.warning("%s is damaged and ignored", path)
            return None
