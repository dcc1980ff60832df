"""Batches drawn ahead of the steps that need them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from threadpoolctl import threadpool_limits
from torch.utils.data import DataLoader, Dataset

from pipeline.training.patches import Patches

AHEAD = 4
"""Batches that every process draws ahead."""


class Sampler(Protocol):
    """What batches are drawn by; see `pipeline.training.patches.PatchSampler`."""

    def batch(self, step: int, part: slice = ...) -> Patches:
        """Return the batch of a step, or a part of it."""
        ...


class _Steps(Dataset):
    """The batches of all steps as a data set, of which a step is an item."""

    def __init__(self, sampler: Sampler, part: slice) -> None:
        self._sampler, self._part = sampler, part

    def __getitem__(self, index: int) -> Patches:
        return self._sampler.batch(index, self._part)


def batches(sampler: Sampler, steps: range, part: slice, processes: int) -> Iterator[Patches]:
    """Return the batches of some steps, one after the other; how many processes draw them changes nothing in them.

    Args:
        sampler: draws what depends on the step alone.
        steps: whose batches are wanted.
        part: of each batch, that this device takes.
        processes: that draw ahead. A thread would take its turns with the thread that keeps the GPU busy. With 0,
            each batch is drawn when it is asked for.
    """
    return iter(
        DataLoader(
            _Steps(sampler, part),
            batch_size=None,
            sampler=steps,
            num_workers=processes,
            prefetch_factor=AHEAD if processes else None,
            multiprocessing_context="fork" if processes else None,  # references are mapped, and shared so, not copied
            collate_fn=_as_it_is,
            worker_init_fn=_start_worker,
        )
    )


def _as_it_is(patches: Any) -> Any:
    return patches


def _start_worker(_: int) -> None:
    """Leave one thread to each process: there are as many processes as threads were granted."""
    threadpool_limits(1)


def draw_with_one_thread() -> None:
    """Leave one thread to the products of numpy's matrices in this process; torch keeps its own.

    The matrices of a patch are small. Threads of numpy that wait for each other while those of torch hold the cores
    made a patch ten times as slow.
    """
    threadpool_limits(1, user_api="blas")
