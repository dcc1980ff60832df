"""Blind reading: people judge images without knowing how they were made."""
