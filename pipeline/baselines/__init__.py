"""Baseline methods. Each module provides TITLE, DESCRIPTION and `upsample(lr, factors, settings)`.

`lr` is an array of shape (x, y, z), `factors` contains one factor per axis, and `settings` are the tuned settings of
the method (empty for methods without tuning). The result is float32, of shape lr.shape * factors, on the grid of cell
centres (pipeline/physics/grid.py). Axes with factor 1 are unchanged. Intensities are not clipped; this is done when the
image is written.
"""
