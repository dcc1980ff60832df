"""Noise of the measurement.

Each module offers `add_noise(image, sigma, generator)` and `expected_value(image, sigma)`.
"""
