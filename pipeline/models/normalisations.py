"""Input normalisation of the published feature networks, and the names of LPIPS weights in their files."""

from __future__ import annotations

NORMALISATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Mean and standard deviation of red, green and blue: those of the images that the published networks were trained on
(torchvision's documentation), or none."""

LPIPS = "lpips."
"""Prefix of the names of LPIPS weights in a file of features; the number of the block follows."""
