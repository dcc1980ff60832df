"""BrainSR: super-resolution of brain images with ESRGAN-family networks, and the proof of what it improved."""

from pathlib import Path

__version__ = "0.2.0"

_CHECKOUT = Path(__file__).resolve().parents[1]
_INSTALLED = Path(__file__).resolve().parent / "_workflow"

WORKFLOW_FOLDER = _INSTALLED if (_INSTALLED / "Snakefile").is_file() else _CHECKOUT
"""Folder of Snakefile, config.yaml, workflow/, profiles/, envs/, reports/, examples/ and requirements/: a checkout, or
the copy of these files in an installed package (requirements/hatch_build.py)."""
