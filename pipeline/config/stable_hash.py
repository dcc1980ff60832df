"""Numbers that hang on a name alone, the same in every process and on every machine."""

from __future__ import annotations

import hashlib

HASHES = 2**64
"""How many there are."""


def hash_of(name: str) -> int:
    """Return the first 64 bits of the SHA-256 of a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
