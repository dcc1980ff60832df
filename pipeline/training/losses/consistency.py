"""Data consistency: the difference between the degraded estimate and the degraded reference.

The estimate is compared with the noiseless low-resolution patch A(reference) and not with the noisy input, for two
reasons. The input is part of a slice that was degraded as a whole: near the edges of the patch it depends on voxels
outside the patch, so that not even the reference agrees with it. And a comparison with the noisy input would train the
network to reproduce the noise. With A(reference), the same operator is applied to both.
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
