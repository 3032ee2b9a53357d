"""Pixels to losses, pixels to detections."""
