"""Binary cross entropy with the non-saturating generator loss (Goodfellow et al., NeurIPS 2014).

It is used in SRGAN and Real-ESRGAN.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return -mean log D(real) - mean log(1 - D(fake)), D being the sigmoid of the logits."""
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return -mean log D(fake); `real` is ignored."""
    return functional.softplus(-fake).mean()
