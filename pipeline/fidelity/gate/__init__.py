"""Consistency gate: whether restored volumes, degraded again, agree with the LR input within its noise."""
