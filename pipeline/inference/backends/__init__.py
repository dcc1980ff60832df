"""Backends that compute networks, one per module, selected by `infer.backend`.

A backend is a module with these functions:

    usable(network) -> bool
        Return whether this machine can compute the network with the backend, on the network's device.
    prepare(network, settings) -> Compute (pipeline.inference.backends._compute)
        Prepare a network for the section `infer`. Later changes of its weights need not be detected.

`torch` is the reference. The others agree with it to 1e-4 of the normalised range in float32
(tests/unit/test_backends.py).
"""
