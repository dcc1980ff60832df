"""Whole volumes through a network."""
