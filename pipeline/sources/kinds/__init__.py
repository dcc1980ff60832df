"""Kinds of sources, one module each, named after its `kind`.

Each module has a function `fetch(source, archives, patience) -> Path`. It returns the path of the complete file of the
source: of the archive if the source is a member of it, or of a folder of pictures.
"""
