"""Repeating a run from its provenance, and telling whether the second run gave the same."""
