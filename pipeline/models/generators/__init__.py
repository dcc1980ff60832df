"""Generators, one module per architecture.

Each defines `build(shape) -> nn.Module` and `upsampler_of(network) -> list[nn.Module]`. The network maps images of any
size from (batch, shape.in_channels, y, x) to (batch, shape.channels, factor y, factor x).

Its first and last convolution are named `conv_first` and `conv_last` and are not followed by an activation, so that
channels can be folded or added by changing these two alone. The blocks of its trunk are a `Sequential` named `body`,
and use no random numbers.

Networks of at most `MAX_FAST_BLOCKS` blocks, an optional constant, are meant for computers without a GPU: by default,
`brainsr apply` computes them once, without an uncertainty map.
"""
