"""Areas and overlaps of boxes; widths are x2 - x1."""

import torch
from jaxtyping import Float
from torch import Tensor

from tinyscope.types import Size


def box_areas(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n"]:
    """Square pixels; a box with a negative side has none."""
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)
    return sides[:, 0] * sides[:, 1]


def intersections(
    boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"]
) -> Float[Tensor, "n m"]:
    """Square pixels that each pair shares."""
    # Column by column: (n, m, 2) intermediates cost twice the time on a processor.
    left = torch.maximum(boxes[:, None, 0], others[None, :, 0])
    right = torch.minimum(boxes[:, None, 2], others[None, :, 2])
    width = right.sub_(left).clamp_(min=0)
    top = torch.maximum(boxes[:, None, 1], others[None, :, 1])
    bottom = torch.minimum(boxes[:, None, 3], others[None, :, 3])
    return width.mul_(bottom.sub_(top).clamp_(min=0))


def overlaps(boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Intersection over union in [0, 1]; 0 where both boxes are empty."""
    shared = intersections(boxes, others)
    union = (box_areas(boxes)[:, None] + box_areas(others)[None, :]).sub_(shared)
    return shared.div_(union.clamp_(min=1e-9))


def paired_overlaps(
    boxes: Float[Tensor, "n 4"], others: Float[Tensor, "n 4"]
) -> Float[Tensor, "n"]:
    """Intersection over union of each box with the other of its row, in [0, 1]."""
    sides = torch.minimum(boxes[:, 2:], others[:, 2:]) - torch.maximum(boxes[:, :2], others[:, :2])
    shared = sides.clamp(min=0).prod(dim=1)
    return shared / (box_areas(boxes) + box_areas(others) - shared).clamp(min=1e-9)


def covered_fractions(
    boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"]
) -> Float[Tensor, "n m"]:
    """Intersection over the area of the first box, in [0, 1]; 0 where that is empty."""
    return intersections(boxes, others).div_(box_areas(boxes).clamp(min=1e-9)[:, None])


def clip_boxes(boxes: Float[Tensor, "n 4"], size: Size) -> Float[Tensor, "n 4"]:
    """Boxes cut at the borders of an image of `size`."""
    height, width = size
    limits = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limits)
