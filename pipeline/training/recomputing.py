"""Gradient checkpointing (Chen et al., 2016, arXiv:1604.06174): blocks are computed again on the way back.

What lies inside a block need then not be kept until its gradient is computed, only what goes into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pipeline.models.generator import Generator


def recompute_trunk(generator: Generator) -> None:
    """Change a generator so that it keeps less memory while it trains; its weights, results and gradients stay."""
    network = generator.network
    network.body = _Recomputing(*network.get_submodule("body").children())


class _Recomputing(nn.Sequential):
    """Blocks one after the other, each computed a second time for its gradient."""

    def forward(self, features: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        for block in self:

            def contexts(block: nn.Module = block) -> tuple[AbstractContextManager, AbstractContextManager]:
                return nullcontext(), _without_statistics(block)

            # Nothing is drawn at random in a block, so that no generator's state needs be kept.
            features = checkpoint(block, features, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)  # pyright: ignore[reportAssignmentType]
        return features


@contextmanager
def _without_statistics(block: nn.Module) -> Iterator[None]:
    """Normalisations do not count a batch that they meet the second time."""
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
