"""A procedural data set of tiny objects, for demos and tests."""

from tinyscope.data.synthetic.canvas import NAMES, SIDES
from tinyscope.data.synthetic.picture import Picture, picture
from tinyscope.data.synthetic.tinyperson import person_picture, write_tinyperson
from tinyscope.data.synthetic.write import synthetic, write_synthetic

__all__ = [
    "NAMES",
    "SIDES",
    "Picture",
    "person_picture",
    "picture",
    "synthetic",
    "write_synthetic",
    "write_tinyperson",
]
