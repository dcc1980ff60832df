"""Baseline methods. Each module provides TITLE, DESCRIPTION and `upsample(lr, model, settings)`.

`lr` is an array of shape (x, y, z), `model` its forward model, and `settings` are the tuned settings of the method
(empty for methods without tuning). The result is float32, of shape `model.padded_shape`, on the grid of cell centres
(pipeline/physics/grid.py). Axes with factor 1 are unchanged by interpolation. Intensities are not clipped; this is done
when the image is written.
"""
