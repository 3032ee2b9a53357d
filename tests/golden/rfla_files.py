"""What the files of receptive-field assignment have in common."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from tinyscope.types import Target


def numbered(tensors: Mapping[str, Tensor], start: str) -> Iterator[Tensor]:
    """Tensors whose names are `start` and a number, in order; there is one at least."""
    number = 0
    while (found := tensors.get(f"{start}{number}")) is not None:
        yield found
        number += 1
    assert number, f"the file has no {start}0"


def target(boxes: Tensor, labels: Tensor | None = None) -> Target:
    """Objects of one image, none of them ignored; all of one class where there are no labels."""
    zeros = torch.zeros(len(boxes), dtype=torch.int64)
    return Target(boxes, zeros if labels is None else labels, zeros.bool())
