"""Measures of likeness to the truth. Each module offers `per_slice(truth, estimate, mask, data_range)` and its facts.

`truth` and `estimate` are float arrays of shape (rows, columns), `mask` is the boolean region over which the measure
is taken (not empty), `data_range` is the span of intensities that counts as the full range. The facts: TITLE, UNIT,
HIGHER_IS_BETTER, PERFECT (the value of an image measured against itself), RANGE in words, SOURCE, and DECIMALS for
tables.
"""
