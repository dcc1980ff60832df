"""Random changes of references and patches, to generalise to images that nobody trained on."""
