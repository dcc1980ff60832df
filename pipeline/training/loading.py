"""Loading of batches ahead of the steps that use them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from threadpoolctl import threadpool_limits
from torch.utils.data import DataLoader, Dataset

from pipeline.training.patches import Patches

PREFETCH = 4
"""Number of batches that every worker draws ahead."""


class Sampler(Protocol):
    """Source of batches; see `pipeline.training.patches.PatchSampler`."""

    def batch(self, step: int, part: slice = ...) -> Patches:
        """Return the batch of a step, or a part of it."""
        ...


class _Steps(Dataset):
    """Data set whose items are the batches of all steps."""

    def __init__(self, sampler: Sampler, part: slice) -> None:
        self._sampler, self._part = sampler, part

    def __getitem__(self, index: int) -> Patches:
        return self._sampler.batch(index, self._part)


def batches(sampler: Sampler, steps: range, part: slice, processes: int) -> Iterator[Patches]:
    """Return an iterator over the batches of some steps, which do not depend on the number of processes.

    Args:
        sampler: source of the batches, which depend on the step alone.
        steps: the steps.
        part: of each batch that is assigned to this device.
        processes: number of worker processes that draw ahead; threads would compete with the one that feeds the GPU.
            With 0, each batch is drawn when it is requested.
    """
    return iter(
        DataLoader(
            _Steps(sampler, part),
            batch_size=None,
            sampler=steps,
            num_workers=processes,
            prefetch_factor=PREFETCH if processes else None,
            multiprocessing_context="fork" if processes else None,  # shares the memory-mapped references
            collate_fn=_identity,
            worker_init_fn=_limit_threads,
        )
    )


def _identity(patches: Any) -> Any:
    return patches


def _limit_threads(_: int) -> None:
    """Limit each worker to one thread, since there are as many workers as threads are allowed."""
    threadpool_limits(1)


def limit_blas_threads() -> None:
    """Limit numpy's matrix products in this process to one thread; torch is not affected.

    The matrices of a patch are small, and threads of numpy that compete with those of torch slow down the drawing of
    patches by a factor of ten.
    """
    threadpool_limits(1, user_api="blas")
