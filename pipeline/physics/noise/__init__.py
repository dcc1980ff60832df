"""Noise of the measurement. Each module offers `add_noise(image, sigma, generator)`."""
