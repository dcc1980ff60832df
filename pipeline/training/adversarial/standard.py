"""Binary cross entropy with the generator's non-saturating loss (Goodfellow et al., NeurIPS 2014).

SRGAN and Real-ESRGAN use it.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return -mean log D(real) - mean log(1 - D(fake)), D being the sigmoid of the logits."""
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return -mean log D(fake); `real` does not matter."""
    return functional.softplus(-fake).mean()
