"""How a network is computed; one file a backend. `infer.backend` names it, and `torch` is the reference for the others.

A backend is a module with these functions:

    usable(network) -> bool
        Whether this machine can compute the network with it, where the network is.
    prepare(network, settings) -> Compute (pipeline.inference.backends._compute)
        Makes ready whatever it needs for the section `infer`. Of weights that change afterwards it need not know.

They agree to 1e-4 of the normalised range in float32 (tests/unit/test_backends.py).
"""
