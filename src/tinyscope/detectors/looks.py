"""Several looks at the same images, each at another enlargement, and what they say together.

Detectors join the looks before they suppress duplicates, as published code does where it tests at
several scales.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from tinyscope.detectors.proposals import Proposals
from tinyscope.detectors.roi import Verdict
from tinyscope.ops.suppress import nms_per_class
from tinyscope.types import Detections, Size

Outputs = TypeVar("Outputs")


@dataclass(frozen=True)
class Look(Generic[Outputs]):
    """A detector's raw outputs for a batch, of which it saw images of `sizes` before padding.

    The images' own frames, those of their detections, may be of other sizes: a tile of 640 px
    that was enlarged to 1280 px is seen at 1280.
    """

    outputs: Outputs
    sizes: Sequence[Size]


@runtime_checkable
class LooksAgain(Protocol):
    """A detector that joins what it sees in several looks at the same images."""

    def decode_looks(
        self,
        looks: Iterable[Look[Any]],
        sizes: Sequence[Size],
        score_threshold: float | None = None,
    ) -> list[Detections]: ...


@runtime_checkable
class LeavesDuplicates(Protocol):
    """A detector that can hand out its candidates, for a suppression over all tiles of an image."""

    def decode_undecided(
        self,
        looks: Iterable[Look[Any]],
        sizes: Sequence[Size],
        score_threshold: float | None = None,
    ) -> list[Detections]: ...


def between_frames(boxes: Float[Tensor, "*n 4"], seen: Size, wanted: Size) -> Float[Tensor, "*n 4"]:
    """Boxes of an image as it was seen at one size, where it has another; exact per axis."""
    if seen == wanted:
        return boxes
    vertical, horizontal = (to / of for to, of in zip(wanted, seen, strict=True))
    return boxes * boxes.new_tensor([horizontal, vertical, horizontal, vertical])


def joined_detections(parts: Sequence[Detections]) -> Detections:
    """Detections of one frame together, best first; nothing is dropped."""
    scores = torch.cat([part.scores for part in parts])
    order = scores.argsort(descending=True, stable=True)
    boxes = torch.cat([part.boxes for part in parts])
    labels = torch.cat([part.labels for part in parts])
    return Detections(boxes[order], scores[order], labels[order])


def joined_proposals(parts: Sequence[Proposals], iou_threshold: float, limit: int) -> Proposals:
    """The best proposals of several looks, in one frame.

    Those of a single look stay as they are; several suppress each other whatever their levels, as
    an object may be of another level in each look.
    """
    if len(parts) == 1:
        return parts[0]
    boxes = torch.cat([part.boxes for part in parts])
    scores = torch.cat([part.scores for part in parts])
    one = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    kept = nms_per_class(boxes, scores, one, iou_threshold, limit)
    return Proposals(boxes[kept], scores[kept])


def mean_verdict(parts: Sequence[Verdict]) -> Verdict:
    """What several looks say on average of the same proposals; boxes in one frame."""
    scores = torch.stack([part.scores for part in parts]).mean(dim=0)
    return Verdict(scores, torch.stack([part.boxes for part in parts]).mean(dim=0))
