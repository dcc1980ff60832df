"""Evaluation of restored volumes by all metrics, over regions and against references."""
