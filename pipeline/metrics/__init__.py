"""Metrics of similarity to a reference. Each module provides `per_slice` or `per_volume`, or both, and constants.

`per_slice(reference, estimate, mask, data_range)` returns the metric of a slice. `reference` and `estimate` are float
arrays of shape (rows, columns), `mask` is the boolean region over which the metric is computed (not empty), and
`data_range` is the full range of intensities. The value of a volume is the mean over its slices with enough foreground.

`per_volume(reference, estimate, mask, data_range, spacing)` returns the metric of a volume, for arrays of shape
(slices, rows, columns); `spacing` is the voxel size along the three axes, in the unit of the image. It takes precedence
over the mean of `per_slice`. Since a volume has a single value, its confidence interval is over subjects. Stacks of
unrelated pictures have no such value.

`per_voxel(reference, estimate, data_range)` (with `spacing` if the module provides `per_volume`) is optional. If the
metric is the mean of a map over the region, it returns this map, which is then computed once for all regions.

If NEEDS_LR = True, all functions receive the additional keyword argument `lr`: the low-resolution image interpolated to
the grid of the reference by cubic B-splines, of the shape of the reference.

If NEEDS_FEATURES = True, all functions receive `features`, the network of the run's perceptual loss
(`_features.Features`).

SINGLE_PROPERTY = True marks a metric of a single property of an image, such as the sharpness of edges, for which a
wrong image can have the best value. It is reported, but does not contribute to the verdict.

Arguments are passed by keyword. Further constants are TITLE, UNIT, HIGHER_IS_BETTER, PERFECT (the value for the
reference compared with itself), RANGE (a description), SOURCE, and DECIMALS for tables.
"""
