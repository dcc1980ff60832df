"""Sections of the report pages, found by name: see `pipeline.reporting.section`."""
