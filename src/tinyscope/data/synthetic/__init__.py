"""A procedural data set of tiny objects, for demos and tests."""

from tinyscope.data.synthetic.canvas import NAMES, SIDES
from tinyscope.data.synthetic.picture import Picture, picture
from tinyscope.data.synthetic.write import synthetic, write_synthetic

__all__ = ["NAMES", "SIDES", "Picture", "picture", "synthetic", "write_synthetic"]
