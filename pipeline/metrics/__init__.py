"""Metrics: measures of likeness to a reference. Each module offers `per_slice` or `per_volume`, or both, and constants.

`per_slice(reference, estimate, mask, data_range)`: `reference` and `estimate` are float arrays of shape (rows,
columns), `mask` is the boolean region over which the metric is computed (not empty), `data_range` is the full range of
intensities. The value of a volume is the mean over its slices with enough foreground.

`per_volume(reference, estimate, mask, data_range, spacing)`: the same for arrays (slices, rows, columns) of all slices
of the volume; `spacing` is the voxel size along the three axes, in the unit of the image. It becomes the value of the
volume, also where there is `per_slice`. Since a volume has a single such value, its confidence interval is over
subjects. Stacks of unrelated pictures have none.

`per_voxel(reference, estimate, data_range)`, in addition to one of them (with `spacing`, in addition to `per_volume`),
where the metric is the mean over the region of a map: the map, which is then computed once for all regions.

A module with NEEDS_LR = True gets a further keyword argument `lr` in all of these: the low-resolution image
interpolated to the grid of the reference by cubic B-splines, of the shape of the reference.

A module with NEEDS_FEATURES = True gets `features`, the network of the run's perceptual loss (`_features.Features`).

A module with OF_ONE_PROPERTY = True measures a single property of an image, such as the sharpness of edges, for which a
wrong image can score best. It is reported with the others, but no headline depends on it.

Arguments are passed by keyword. The constants: TITLE, UNIT, HIGHER_IS_BETTER, PERFECT (the value of the reference
compared with itself), RANGE in words, SOURCE, and DECIMALS for tables.
"""
