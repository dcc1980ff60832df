"""Kinds of inserted structures: one module each.

A module offers TITLE and

- `reach(size_voxels) -> float`: how far from its place a structure and what carries it extend, in voxels,
- `structure(size_voxels, direction, radius) -> Structure`: see `pipeline.fidelity.insertion.structure`; `direction` is
  an angle in radians, and the arrays have the shape (2 * radius + 1, 2 * radius + 1).
"""
