"""Linear operators that coarsen one axis. Each module offers `axis_matrix(size, factor)`."""
