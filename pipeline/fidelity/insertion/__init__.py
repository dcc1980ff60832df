"""Structures that are put into the reference, too small for the low resolution, and looked for in what methods restore.

A score over a whole image can rise while a lesion of two voxels is smoothed away. Here it is known where such a lesion
is, how large and how bright, since it was inserted; what is counted is how often an observer finds it.
"""
