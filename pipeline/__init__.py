"""BrainSR: super-resolution of brain images with ESRGAN-family networks, and the proof of what it improved."""

__version__ = "0.1.0"
