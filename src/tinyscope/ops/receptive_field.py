"""How many pixels a cell of a feature map can see, from the kernels on the way to it."""

from collections.abc import Sequence

Chain = Sequence[tuple[int, int, int]]
"""Size, stride and dilation of every convolution and pooling on the way, in order."""


def receptive_field(chain: Chain) -> int:
    """Side of the square of pixels that one cell depends on.

    The theoretical field: it starts at one pixel, and each kernel adds its reach, which is its size
    less one, times its dilation, times the stride of the map that it reads. What a cell really
    answers to is a spot in the middle of it, of about half the side. Of kernels side by side the
    longest chain counts. Levels that a neck adds follow from a longer chain.

    Args:
        chain: From the image to the map; empty for the image itself.

    Source: Luo et al. 2016, arXiv:1701.04128.
    """
    side, jump = 1, 1
    for size, stride, dilation in chain:
        side += (size - 1) * dilation * jump
        jump *= stride
    return side
