"""Loss terms. Each module offers `loss(estimate, scene)`, a scalar tensor.

The estimate is what the network made of `scene.measured`, of shape (batch, channels, y, x) like `scene.reference`.
"""
