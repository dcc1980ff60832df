"""Columns of every table, declared once."""
