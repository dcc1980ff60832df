"""What the published feature networks expect as input, and how their files name the weights of LPIPS."""

from __future__ import annotations

NORMALISATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Mean and standard deviation by which red, green and blue are shifted and divided: those of the pictures that the
published networks were trained on (as in torchvision's documentation), or nothing."""

LPIPS = "lpips."
"""With this begin the names of LPIPS's weights in a file of features, and end with the number of the block."""
