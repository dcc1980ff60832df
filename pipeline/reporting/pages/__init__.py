"""Pages of the report: each lists its sections."""
