"""Discriminators, one module per architecture: `build(channels, side, features=64) -> nn.Module`.

The network maps patches (batch, channels, side, side) to logits, which are high where a patch looks real: one per patch
(batch, 1) or one per pixel (batch, 1, y, x). `features` is the width of its first layer.
"""
