"""Baseline methods. Each module provides TITLE, DESCRIPTION and `upsample(lr, model, settings)`.

`lr` is an array of shape (x, y, z), `model` its forward model, and `settings` are the settings of the method (empty for
methods without tuning). The result is float32, of shape `model.padded_shape`, on the grid of cell centres
(pipeline/physics/grid.py). Axes with factor 1 are unchanged by interpolation. Intensities are not clipped; this is done
when the image is written.

Methods that are tuned on validation also provide `candidates(sigma)`, a list of settings, and `default_settings(sigma)`
for the case that there was no tuning; `sigma` is the standard deviation of the noise in normalised intensities. With
NEEDS_NEIGHBOURS they are tuned on neighbouring slices, since they process a volume as a whole.
"""
