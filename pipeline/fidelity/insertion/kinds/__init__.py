"""Kinds of inserted structures: one module per kind.

A module defines TITLE and

- `reach(size_voxels) -> float`: distance from the centre to the outermost point of structure and carrier, in voxels,
- `structure(size_voxels, direction, radius) -> Structure`: see `pipeline.fidelity.insertion.structure`; `direction` is
  an angle in radians, and the arrays have the shape (2 * radius + 1, 2 * radius + 1).
"""
