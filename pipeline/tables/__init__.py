"""Columns of every CSV file that a run writes: one module a table, with its row type and its `Table`."""
