"""The report pages: one module a page, which lists its sections."""
