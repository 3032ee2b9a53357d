"""Geometry of windows: cutting an image, and merging what was found in its windows."""
