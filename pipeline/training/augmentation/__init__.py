"""Random changes of references and patches, to generalise to images outside the training data."""
