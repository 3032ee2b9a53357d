"""Samples of several frames: a key frame with its target, and other frames of its video."""
