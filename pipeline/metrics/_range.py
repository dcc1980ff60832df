"""The range of intensities against which errors are measured."""

from __future__ import annotations

import numpy as np

from pipeline.image.image import Image


def data_range(truth: Image) -> float:
    """Returns the intensity that counts as full range, in the normalised units of `truth`.

    It is the scale of the ground-truth volume, the 99.9th percentile of its foreground, and so 1.0 by the definition
    of the normalisation. It is taken once a volume and from the truth alone, so that no method and no slice changes
    the yardstick.
    """
    # Channels with ranges of their own have 1.0 each.
    return float(np.max(truth.intensity.normalise(np.array(truth.intensity.scale))))
