"""Report pages: one module per page, which lists its sections."""
