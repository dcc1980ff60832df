"""HTML report pages, their sections, tables and figures."""
