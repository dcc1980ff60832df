"""Generators, one architecture a module: `build(shape) -> nn.Module` and `upsampler_of(network) -> list[nn.Module]`.

The module maps (batch, shape.in_channels, y, x) to (batch, shape.channels, factor y, factor x), any size. Its first and
last convolution are called `conv_first` and `conv_last`, see neighbours and have no activation of their own, so that
channels can be folded or added by changing these two alone. The blocks of its trunk are a `Sequential` called `body`,
and draw nothing at random.
"""
