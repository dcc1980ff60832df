"""Several scans of one head, combined into one isotropic volume."""
