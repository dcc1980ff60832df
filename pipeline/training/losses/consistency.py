"""Agreement with the forward model: the estimate, degraded again, against the reference, degraded again.

The estimate is compared with the noiseless low-resolution patch A(reference), not with the noisy one that was measured,
for two reasons. The measured patch was cut out of a whole slice that was degraded in one piece: near the patch's edges
its operator saw voxels that the patch does not hold, so that even the reference would disagree with it. And its noise
is no part of what the network should restore: a term that asks for the measured values would teach the network to
reproduce the noise. A of the reference has neither fault, since both sides go through the same operator of the patch.
"""

from __future__ import annotations

from torch import Tensor

from pipeline.training.loss_inputs import Scene


def loss(estimate: Tensor, scene: Scene) -> Tensor:
    """Return the mean absolute value of A(estimate - reference), where A is `scene.operator`.

    Args:
        estimate: shape (batch, channels, factor y, factor x).
        scene: of the same batch.
    """
    return scene.operator(estimate - scene.reference).abs().mean()
