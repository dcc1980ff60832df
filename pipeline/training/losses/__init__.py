"""Loss terms. Each module offers `loss(estimate, inputs)`, a scalar tensor.

The estimate is what the network made of `inputs.measured`, of shape (batch, channels, y, x) like `inputs.reference`.
"""
