"""Kinds of sources. Each module is named after its `kind` and has a function `fetch(source, archives, patience) -> Path`.

The function returns the path of the complete file of the source: of the archive if the source is a member of it, or of
a folder of pictures.
"""
