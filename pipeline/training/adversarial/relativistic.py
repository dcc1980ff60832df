"""Relativistic average loss: compares real patches with the average of generated ones, and vice versa.

Jolicoeur-Martineau, "The relativistic discriminator", 2018 (arXiv:1807.00734), as used in ESRGAN (Wang et al., ECCV
Workshops 2018). The papers add the two halves of each loss; the code of ESRGAN computes their mean, to which the
published weight of 0.005 applies, hence the mean here. Averages are over all logits of a batch.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return half of -mean log s(real - mean fake) - mean log(1 - s(fake - mean real)), s being the sigmoid."""
    return (functional.softplus(fake.mean() - real).mean() + functional.softplus(fake - real.mean()).mean()) / 2


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return half of -mean log(1 - s(real - mean fake)) - mean log s(fake - mean real).

    Both halves depend on the generator through `fake`. No gradient is propagated through `real`, as in the code of
    ESRGAN, since the logits of real patches do not depend on the generator. The caller need not detach them.
    """
    return discriminator_loss(fake, real.detach())
