"""Loss terms. Each module offers `loss(estimate, truth)`, a scalar tensor from two (batch, channel, y, x) tensors."""
