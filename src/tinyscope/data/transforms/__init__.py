"""Changes of a sample by chance: one file per transform, all of them `(sample, random) -> sample`.

A transform never writes into the image it is given (it may be a view of a cached one), moves
ignored regions along with objects, and counts every object it turns into an ignored region.
"""
