"""Operators: the linear part of a forward model. Each module is one operator.

A module provides

- `Parameters`, a `pipeline.config.parameters.PhysicalParameters` whose `name` is the name of the module. Its fields
  declare the parameters with units, ranges, defaults and meanings. `describe()` returns a phrase for reports.
- `COARSENS`: whether the operator makes the grid coarser. A forward model has exactly one operator that does, which is
  applied along the axes of `degrade.direction`. The others are blurs, with the axes in their parameter `along`.
- `LOCAL = False`, if the operator depends on the position in the volume. Networks of a fixed factor, which learn from
  patches of unknown position, are not trained with it.
- `axis_matrix(size, factor, spacing_mm, parameters)`: the operator along one axis, a float64 matrix. `size` is the
  number of voxels, `spacing_mm` their spacing in millimetres (None if unknown), `factor` the number of voxels per
  low-resolution voxel, a real number of at least 1. The shape is (`whole_cells(size, factor)`, size) if the operator
  coarsens, and (size, size) for a blur; see `pipeline.physics.grid`.
- or, if the operator is not separable, `plane_terms(sizes, spacings_mm, parameters)`: pairs of matrices along the two
  in-plane axes; the operator is the sum of their products.

Matrices preserve constants. If the factor divides the size, they are symmetric under reflection
(`matrix[::-1, ::-1] == matrix`), unless they are not local.
"""
