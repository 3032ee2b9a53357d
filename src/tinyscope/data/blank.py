"""Images without content, for whoever asks only where windows lie and what is in them."""

from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from tinyscope.data.erase import Region
from tinyscope.data.images import ImageCache
from tinyscope.types import Size


class BlankImages(ImageCache):
    """Decodes no file and takes no memory: only sizes are needed."""

    def __call__(
        self, path: Path, size: Size = (0, 0), regions: tuple[Region, ...] = ()
    ) -> UInt8[Tensor, "3 h w"]:
        """Zeros of `size`; where none is stated, as of a tile's file, of any that is needed."""
        height, width = (side or 2**20 for side in size)
        return torch.zeros(1, 1, 1, dtype=torch.uint8).expand(3, height, width)
