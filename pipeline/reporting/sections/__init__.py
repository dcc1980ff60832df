"""The sections of the report pages, found by their names: see `pipeline.reporting.section`."""
