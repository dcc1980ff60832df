"""Measure of likeness to the reference. A module offers `per_slice` or `per_volume`, or both, and its facts.

`per_slice(reference, estimate, mask, data_range)`: `reference` and `estimate` are float arrays of shape (rows,
columns), `mask` is the boolean region over which the measure is taken (not empty), `data_range` is the span of
intensities that counts as the full range. The value of a volume is the mean over its slices with enough foreground.

`per_volume(reference, estimate, mask, data_range, spacing)`: the same of arrays (slices, rows, columns), all slices of
the volume; `spacing` is the distance of voxels along the three axes, in the unit of the image. It becomes the value of
the volume, also where there is `per_slice`. Since a volume has one such value, its interval is over subjects alone.
Stacks of unrelated pictures are not measured by it.

`per_voxel(reference, estimate, data_range)`, beside one of them (with `spacing`, beside `per_volume`), where the
measure is the mean over the region of a map: the map, which is then made once for all regions.

`SHARED`, beside `per_slice`, where several metrics are read off one result: a function of the arguments of `per_slice`,
which is then called once for all metrics that name it; `of_shared(result)` gives the metric's own value.

A module with NEEDS_MEASURED = True gets one more keyword in all of these, `measured`: what the instrument measured, the
low-resolution image interpolated to the grid of the reference by cubic B-splines, of the shape of the reference.

A module with NEEDS_FEATURES = True gets `features`, the network of the run's perceptual loss (`_features.Features`).

A module with OF_ONE_PROPERTY = True measures one property of an image, in which a wrong image can be the best, or one
without any detail, such as the steepness of edges. It is shown with the others, but no headline rests on it.

Arguments are given by name. The facts: TITLE, UNIT, HIGHER_IS_BETTER, PERFECT (the value of an image measured against
itself), RANGE in words, SOURCE, and DECIMALS for tables.
"""
