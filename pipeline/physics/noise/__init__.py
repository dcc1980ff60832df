"""Noise models of the acquisition. Each module is one noise model.

A module provides

- `MAGNITUDE`: whether the noise is that of magnitude images. Such a distribution is undefined for negative values:
  images with negative values are rejected, and noiseless values below zero (undershoot, or intensities below the low
  quantile that is normalised to zero) are set to zero. If sigma is 0, they are unchanged.
- `Parameters`, a `pipeline.config.parameters.PhysicalParameters` whose `name` is the name of the module, with a method
  `describe()` that returns a phrase for reports.
- `add_noise(image, sigma, generator, parameters)`: a noisy realisation, float32. The first two axes of the image are
  those of a slice; further axes index slices.
- `expected_value(image, sigma, parameters)`: the expected value, given a noiseless image of the same layout.
- `standard_deviation(image, sigma, parameters)`: the standard deviation, given a noiseless image of the same layout.
- if the noise depends on the intensity, `relative_std(intensity, sigma, parameters)`: the standard deviation at an
  intensity divided by that at intensity 1.0.

`sigma` is a fraction of the normalised range: the standard deviation of one channel of magnitude images, and the
standard deviation at intensity 1.0 if the noise grows with the intensity.
"""
