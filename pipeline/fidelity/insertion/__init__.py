"""Lesion-insertion study: small structures are inserted into the reference and searched for in restored volumes.

A score over a whole image can improve while a lesion of two voxels is smoothed away. Here place, size and contrast of
each structure are known, and a model observer measures how often it is detected.
"""
