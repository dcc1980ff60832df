"""Agreement with the forward model: the estimate, degraded again, against the reference, degraded again.

The estimate is compared with the noiseless low-resolution patch A(reference), not with the noisy input, for two
reasons. The input is part of a slice that was degraded as a whole: near the edges of the patch its operator depends on
voxels outside the patch, so that even the reference would disagree with it. And a term that compares with the noisy
input would train the network to reproduce the noise. With A(reference), both sides go through the same operator.
"""

from __future__ import annotations

from torch import Tensor

from pipeline.training.loss_inputs import LossInputs


def loss(estimate: Tensor, inputs: LossInputs) -> Tensor:
    """Return the mean absolute value of A(estimate - reference), where A is `inputs.operator`.

    Args:
        estimate: shape (batch, channels, factor y, factor x).
        inputs: of the same batch.
    """
    return inputs.operator(estimate - inputs.reference).abs().mean()
