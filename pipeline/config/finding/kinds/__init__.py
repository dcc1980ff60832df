"""Kinds of data sets, one module each, named after its `kind`. Each defines `find(dataset, place, sources)`.

`place` is the data set's place in the configuration, such as datasets[0], with which mistakes begin; `sources` are all
sources that the configuration knows by name.
"""
