"""Provenance records, reproduction and RO-Crate export."""
