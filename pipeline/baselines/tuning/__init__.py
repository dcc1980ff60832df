"""Tuning of baselines on validation volumes, and application of tuned baselines."""
