"""Scale Match: images of an external set are resized so that its objects become as large as those
of the set that a detector is for (arXiv:1912.10664).

One idea per file: which objects have a size, how sizes are distributed, how one is drawn or mapped,
and by which factor an image follows. `data/transforms/scale_match.py` puts them together.
"""
