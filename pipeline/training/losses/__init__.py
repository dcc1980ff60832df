"""Loss terms. Each module offers `loss(estimate, inputs)`, a scalar tensor.

The estimate is the output of the network for `inputs.given`, of the shape of `inputs.reference` (batch, channels, y,
x).
"""
