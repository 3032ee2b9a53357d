"""Two looks at a tile, the second enlarged, by the detectors of SSPNet at full size."""

import torch
from sspnet_models import StoredModel, assert_same_boxes, assert_statistics
from torch import Tensor
from torch.nn import functional

from tinyscope.detectors.looks import Look
from tinyscope.types import Size


@torch.no_grad()
def assert_looks_equal(stored: StoredModel, detections: Tensor) -> None:
    """What is found in the first picture's tile, in the tile's own pixels."""
    said = stored.said["aug"]
    shown = [(height, width) for height, width in said["img_shape"]]
    first = stored.images[:1]
    tile = first[..., : shown[0][0], : shown[0][1]]
    images = [first]
    for scale, seen, padded in zip(
        said["scales"][1:], shown[1:], said["pad_shape"][1:], strict=True
    ):
        factor = scale / said["scales"][0]
        larger = functional.interpolate(tile, scale_factor=factor, mode="bilinear")
        assert tuple(larger.shape[2:]) == seen
        bottom, right = padded[0] - seen[0], padded[1] - seen[1]
        images.append(functional.pad(larger, (0, right, 0, bottom)))
        assert_statistics(images[-1], said[f"image{scale}"])
    own = _own_size(shown[0], said["scales"][0])
    assert all(_own_size(*pair) == own for pair in zip(shown, said["scales"], strict=True))
    looks = (Look(stored.model(x), [size]) for x, size in zip(images, shown, strict=True))
    found = stored.model.decode_looks(looks, [own])[0]
    assert_same_boxes(found.boxes, found.scores, detections)


def _own_size(seen: Size, scale: int) -> Size:
    """Of the tile; the stored factors are exact."""
    assert seen[0] % scale == seen[1] % scale == 0
    return seen[0] // scale, seen[1] // scale
