"""The focal loss over the matches of a batch, as all one-stage heads use it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tinyscope.ops.losses import focal_loss
from tinyscope.types import Matches


def positives(matches: Sequence[Matches]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Image, prior, label (m,) and box (m, 4) of the positives of a batch."""
    images = [torch.full_like(m.positive, i) for i, m in enumerate(matches)]
    return (
        torch.cat(images),
        torch.cat([m.positive for m in matches]),
        torch.cat([m.labels for m in matches]),
        torch.cat([m.boxes for m in matches]),
    )


def count_of(rows: Sequence[Tensor], floor: int) -> Tensor:
    """How many rows there are of all images (), of each image at least `floor`."""
    device = rows[0].device if rows else None
    return torch.tensor(sum(max(len(of_image), floor) for of_image in rows), device=device)


def focal_classification(
    logits: Tensor, matches: Sequence[Matches], *, alpha: float, gamma: float
) -> Tensor:
    """Sum of the focal loss over positives and negatives; logits (b, p, k), all classes sigmoid."""
    image, prior, label, _ = positives(matches)
    targets = torch.zeros_like(logits)
    targets[image, prior, label] = 1
    loss = focal_loss(logits.flatten(0, 1), targets.flatten(0, 1), alpha=alpha, gamma=gamma)
    counted = torch.zeros(logits.shape[:2], device=logits.device)
    for row, m in zip(counted, matches, strict=True):
        row[m.positive] = 1
        row[m.negative] = 1
    return (loss.sum(dim=1) * counted.flatten()).sum()
