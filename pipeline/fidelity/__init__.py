"""Proof against invention: what a restoration added, lost or changed, beyond what likeness to the reference shows."""
