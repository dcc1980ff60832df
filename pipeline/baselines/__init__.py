"""Baselines that enlarge an image. Each module offers TITLE, DESCRIPTION and `upsample(lr, factors, settings)`.

`lr` is an array of shape (x, y, z), `factors` holds one factor an axis, `settings` are the tuned settings of the method
(empty for most). The result is float32, of shape lr.shape * factors, on the grid of cell centres
(pipeline/physics/grid.py); axes of factor 1 stay as they are. Nothing is clipped: that is left to the writer.
"""
