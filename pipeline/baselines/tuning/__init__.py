"""Choosing the settings of baselines on validation volumes, and applying them."""
