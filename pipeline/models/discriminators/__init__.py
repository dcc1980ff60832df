"""Discriminators, one a module: `build(channels, side, features=64) -> nn.Module`.

The module maps patches (batch, channels, side, side) to logits, high where a patch looks real: one for a patch
(batch, 1) or one for each pixel (batch, 1, y, x). `features` is the width of its first layer.
"""
