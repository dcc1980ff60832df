"""Kinds of sources. Each module is named as its `kind` and offers `fetch(source, archives, patience) -> Path`.

The path is that of the whole file that the source names: of the archive where only one member of it is wanted, or of
a folder of pictures.
"""
