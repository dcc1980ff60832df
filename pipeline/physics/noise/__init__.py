"""Noise of the measurement. Each module is one kind of noise.

It offers

- `MAGNITUDE`: whether it is noise of magnitudes. Its distribution has no meaning for images with negative values: such
  images are refused, and noiseless values below zero (undershoot, or what is darker than the low quantile that became
  zero) count as zero. Where sigma is 0, they stay as they are.
- `Parameters`, a `pipeline.physics.parameters.PhysicalParameters` whose `name` is the module's name, and its `words()`.
- `add_noise(image, sigma, generator, parameters)`: one draw, float32. The first two axes of the image are those of a
  slice; further axes count slices.
- `expected_value(image, sigma, parameters)`: the mean over all draws, for a noiseless image of the same layout.
- `standard_deviation(image, sigma, parameters)`: that of all draws, for a noiseless image of the same layout.
- where the strength depends on the intensity, `relative_std(intensity, sigma, parameters)`: the standard deviation
  there over that at intensity 1.0.

`sigma` is a fraction of the normalised range: the standard deviation per channel of magnitude images, and at
intensity 1.0 where noise grows with the intensity.
"""
