"""Columns of every CSV file that a run writes: one module per table, with its row type and its `Table`."""
