"""Steps of the linear part of a forward model. Each module is one step.

It offers

- `Parameters`, a `pipeline.physics.parameters.PhysicalParameters` whose `name` is the module's name. Its fields are
  the table of parameters: name, unit, range, default and meaning. `words()` tells a reader what the step does.
- `COARSENS`: whether the step makes the grid coarser. A forward model has exactly one that does. It works along the
  axes of `degrade.direction`; the others are blurs and have a parameter `along`, which says along which axes.
- `axis_matrix(size, factor, spacing_mm, parameters)`: the step along one axis, a float64 matrix. `size` is the number
  of voxels, `spacing_mm` their distance in millimetres (None where nobody knows it), `factor` how many of them go to
  one low-resolution voxel. A step that coarsens returns the shape (size // factor, size), a blur (size, size).
- or, where the step is not one product of two axes, `plane_terms(sizes, spacings_mm, parameters)`: pairs of matrices
  along the two axes of the plane; the step is the sum of their products.

Matrices keep constants and mirror images (`matrix[::-1, ::-1] == matrix`).
"""
