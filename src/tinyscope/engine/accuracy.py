"""A classifier on a set of images to top-1 and top-5."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tinyscope.data.batches import step_loader
from tinyscope.data.classification.labeled import StoredImages
from tinyscope.data.classification.samples import LabeledSamples, LabeledShares
from tinyscope.engine.machine import Precision, autocast
from tinyscope.engine.step import to_device
from tinyscope.evaluation.accuracy import ranks, top_shares


@torch.no_grad()
def classify(
    model: nn.Module, samples: LabeledSamples, batch: int, workers: int, precision: Precision
) -> dict[str, Any]:
    """Numbers of a classifier in eval mode: shares of images in [0, 1], and the mean loss.

    Args:
        model: Images to logits.
        samples: In the order of their set.
        batch: Images at once.
        workers: Processes that read files; stored images need none.
        precision: To compute in.

    Returns:
        `top1`, `top5`, `loss`, `images`, and `per_class`, the top-1 of each class by name.

    Raises:
        DataError: An image cannot be read, or is of another size.
    """
    device = next(model.parameters()).device
    workers = 0 if isinstance(samples.images, StoredImages) else workers
    found, labels, loss = [], [], 0.0
    for one in step_loader(LabeledShares(samples), _Chunks(len(samples), batch), workers):
        moved: Any = to_device(one, device)
        with autocast(precision, device):
            logits = model(moved.images)
        loss += float(functional.cross_entropy(logits, moved.labels, reduction="sum"))
        found.append(ranks(logits, moved.labels).cpu())
        labels.append(moved.labels.cpu())
    order, truth = torch.cat(found), torch.cat(labels)
    hits = (order == 0).double()
    counts = torch.bincount(truth, minlength=len(samples.images.names))
    right = torch.bincount(truth, weights=hits, minlength=len(counts))
    shares: Sequence[float] = (right / counts.clamp(min=1)).tolist()
    return {
        **top_shares(order),
        "loss": loss / len(order),
        "images": len(order),
        "per_class": dict(zip(samples.images.names, shares, strict=True)),
    }


class _Chunks(torch.utils.data.Sampler[list[int]]):
    """All positions in order, `size` at a time."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def __iter__(self) -> Any:
        for start in range(0, self.count, self.size):
            yield list(range(start, min(start + self.size, self.count)))
