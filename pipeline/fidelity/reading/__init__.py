"""Blinded reader study: readers rate and compare images without knowing which method produced them."""
