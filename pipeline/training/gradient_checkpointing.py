"""Gradient checkpointing (Chen et al., 2016, arXiv:1604.06174): blocks are recomputed in the backward pass.

Only the input of each block is stored for the backward pass, not its intermediate activations.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pipeline.models.generator import Generator


def checkpoint_trunk(generator: Generator) -> None:
    """Checkpoint the trunk of a generator in place, to save memory; weights, results and gradients do not change."""
    network = generator.network
    network.body = _CheckpointedBlocks(*network.get_submodule("body").children())


class _CheckpointedBlocks(nn.Sequential):
    """A sequence of blocks, each of which is recomputed in the backward pass."""

    def forward(self, features: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        for block in self:

            def contexts(block: nn.Module = block) -> tuple[AbstractContextManager, AbstractContextManager]:
                return nullcontext(), _without_statistics(block)

            # Blocks use no random numbers, so that the state of the generator need not be stored.
            features = checkpoint(block, features, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)  # pyright: ignore[reportAssignmentType]
        return features


@contextmanager
def _without_statistics(block: nn.Module) -> Iterator[None]:
    """Freeze the running statistics of batch normalisations while a block is recomputed."""
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
