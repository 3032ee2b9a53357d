"""Procedural data sets of tiny objects, for demos and tests: pictures and videos."""

from tinyscope.data.synthetic.canvas import NAMES, SIDES
from tinyscope.data.synthetic.moving import FREQUENT, VIDEO_NAMES
from tinyscope.data.synthetic.picture import Picture, picture
from tinyscope.data.synthetic.tinyperson import person_picture, write_tinyperson
from tinyscope.data.synthetic.videos import write_videos
from tinyscope.data.synthetic.write import synthetic, write_synthetic

__all__ = [
    "FREQUENT",
    "NAMES",
    "SIDES",
    "VIDEO_NAMES",
    "Picture",
    "person_picture",
    "picture",
    "synthetic",
    "write_synthetic",
    "write_tinyperson",
    "write_videos",
]
