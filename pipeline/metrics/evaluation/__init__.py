"""Evaluation of restored volumes: which region is compared with which reference, by every metric."""
