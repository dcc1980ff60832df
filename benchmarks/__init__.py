"""Benchmarks, run manually."""
