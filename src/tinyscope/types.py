"""What travels between the folders: frozen dataclasses of tensors, and the protocols of parts.

Boxes are (n, 4) float32, x1 y1 x2 y2 in absolute pixels of the image they travel with; widths are
x2 - x1. Sizes are (height, width). Labels count from 0; there is no background label.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

BACKGROUND = -1
"""In `assigned`: the prior answers for no object."""
IGNORED = -2
"""In `assigned`: the prior counts neither as positive nor as negative."""

Size = tuple[int, int]
"""(height, width) in pixels."""

SIDE_EDGES = (2.0, 8.0, 16.0, 32.0)
"""Inner edges of the size bins that counts are given in: sides below 2, 2-8, 8-16, 16-32, above."""


@dataclass(frozen=True)
class Dropped:
    """How many objects a step of the data pipeline lost, by reason and size.

    `counts` maps a reason, as a person would say it, to five counts: sides (square root of the
    area before the step, pixels of that step's input) binned at `SIDE_EDGES`.
    """

    counts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def of(cls, reason: str, boxes: Float[Tensor, "n 4"]) -> "Dropped":
        """Counts `boxes` as lost for `reason`; nothing is counted when there are none."""
        if not len(boxes):
            return cls()
        sides = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).clamp(min=0).sqrt()
        bins = np.digitize(sides.numpy(), SIDE_EDGES)
        return cls({reason: np.bincount(bins, minlength=len(SIDE_EDGES) + 1).astype(np.int64)})

    def __add__(self, other: "Dropped") -> "Dropped":
        reasons = dict.fromkeys([*self.counts, *other.counts])
        zero = np.zeros(len(SIDE_EDGES) + 1, dtype=np.int64)
        return Dropped({r: self.counts.get(r, zero) + other.counts.get(r, zero) for r in reasons})

    @property
    def total(self) -> int:
        return int(sum(int(c.sum()) for c in self.counts.values()))


@dataclass(frozen=True)
class Target:
    """What is to be found in one image, and its regions that count neither for nor against."""

    boxes: Float[Tensor, "n 4"]
    labels: Int64[Tensor, "n"]
    ignore: Bool[Tensor, "n"]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: Tensor) -> "Target":
        """The rows that an index or a mask selects."""
        return Target(self.boxes[rows], self.labels[rows], self.ignore[rows])

    @classmethod
    def empty(cls) -> "Target":
        return cls(
            torch.zeros(0, 4),
            torch.zeros(0, dtype=torch.int64),
            torch.zeros(0, dtype=torch.bool),
        )


@dataclass(frozen=True)
class Sample:
    """One image, or a window of one, with its target in the same frame."""

    image: UInt8[Tensor, "3 h w"]
    target: Target
    image_id: int = 0
    file: str = ""
    dropped: Dropped = field(default_factory=Dropped)

    @property
    def size(self) -> Size:
        return int(self.image.shape[-2]), int(self.image.shape[-1])


@dataclass(frozen=True)
class Batch:
    """Samples padded at the right and bottom to one size.

    `sizes` are the sizes before padding; `dropped` is the sum over the samples.
    """

    images: UInt8[Tensor, "b 3 h w"]
    sizes: tuple[Size, ...]
    targets: tuple[Target, ...]
    image_ids: tuple[int, ...]
    files: tuple[str, ...]
    dropped: Dropped = field(default_factory=Dropped)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def inputs(self) -> tuple[UInt8[Tensor, "b 3 h w"]]:
        """What a detector's `forward` takes."""
        return (self.images,)

    @property
    def answers(self) -> tuple[tuple[Target, ...], tuple[Size, ...]]:
        """What a detector's loss takes after the outputs."""
        return self.targets, self.sizes


@dataclass(frozen=True)
class ClipBatch:
    """Key frames, each with other frames of its video, padded at the right and bottom to one size.

    `images` are the b key frames, then the references of all clips, clip by clip; `references`
    says how many each clip has, at least one (a video of a single frame repeats its key). All
    else is of the key frames, as in a `Batch`; a clip's references have the size of its key.
    """

    images: UInt8[Tensor, "n 3 h w"]
    references: tuple[int, ...]
    sizes: tuple[Size, ...]
    targets: tuple[Target, ...]
    image_ids: tuple[int, ...]
    files: tuple[str, ...]
    dropped: Dropped = field(default_factory=Dropped)

    def __len__(self) -> int:
        return len(self.references)

    @property
    def inputs(self) -> tuple[UInt8[Tensor, "n 3 h w"], tuple[int, ...], tuple[Size, ...]]:
        """What a video detector's `forward` takes."""
        return self.images, self.references, self.sizes

    @property
    def answers(self) -> tuple[tuple[Target, ...], tuple[Size, ...]]:
        """What a detector's loss takes after the outputs."""
        return self.targets, self.sizes


@dataclass(frozen=True)
class LabeledBatch:
    """Images of one size, each with one label for the whole of it."""

    images: UInt8[Tensor, "b 3 h w"]
    labels: Int64[Tensor, "b"]
    files: tuple[str, ...]
    dropped: Dropped = field(default_factory=Dropped)  # nothing can be: there are no objects

    def __len__(self) -> int:
        return len(self.images)

    @property
    def inputs(self) -> tuple[UInt8[Tensor, "b 3 h w"]]:
        """What a classifier's `forward` takes."""
        return (self.images,)

    @property
    def answers(self) -> tuple[Int64[Tensor, "b"]]:
        """What a classifier's loss takes after the outputs."""
        return (self.labels,)


@dataclass(frozen=True)
class Pyramid:
    """Feature maps of one batch, fine to coarse, all with the same channels.

    A neck that makes more than maps (attention) returns a subclass that carries it.
    """

    levels: tuple[Tensor, ...]
    strides: tuple[int, ...]

    @property
    def sizes(self) -> tuple[Size, ...]:
        """(h, w) of each level in cells."""
        return tuple((int(x.shape[-2]), int(x.shape[-1])) for x in self.levels)


@dataclass(frozen=True)
class Priors:
    """The boxes that a head predicts from, all levels, fine to coarse, location-major.

    `strides` is the stride of each prior's level in pixels, `levels` its index; proposals of a
    first stage are priors too, with stride and level 0.
    """

    boxes: Float[Tensor, "p 4"]
    strides: Float[Tensor, "p"]
    levels: Int64[Tensor, "p"]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: Tensor) -> "Priors":
        return Priors(self.boxes[rows], self.strides[rows], self.levels[rows])

    @property
    def centers(self) -> Float[Tensor, "p 2"]:
        """Points (x, y)."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2

    @classmethod
    def of_boxes(cls, boxes: Float[Tensor, "p 4"]) -> "Priors":
        """Boxes that belong to no level, such as proposals."""
        return cls(
            boxes,
            boxes.new_zeros(len(boxes)),
            torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device),
        )


@dataclass(frozen=True)
class Matches:
    """Which priors of one image learn what, after assigning and sampling.

    `positive` and `negative` are rows of the priors; `labels` and `boxes` are what the positive
    ones answer for. Rows in neither take no part in any loss.
    """

    positive: Int64[Tensor, "m"]
    negative: Int64[Tensor, "q"]
    labels: Int64[Tensor, "m"]
    boxes: Float[Tensor, "m 4"]


@dataclass(frozen=True)
class DenseOutputs:
    """Raw outputs of a head over all priors of a batch, in the order of the priors.

    `quality` is a logit of how good the box is (center-ness, IoU), where the head predicts one.
    """

    pyramid: Pyramid
    logits: Float[Tensor, "b p k"]
    deltas: Float[Tensor, "b p 4"]
    quality: Float[Tensor, "b p"] | None = None


@dataclass(frozen=True)
class Detections:
    """Objects found in one image, best first; `scores` in [0, 1]."""

    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, "n"]
    labels: Int64[Tensor, "n"]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: Tensor) -> "Detections":
        return Detections(self.boxes[rows], self.scores[rows], self.labels[rows], self.names)

    @classmethod
    def empty(cls, names: tuple[str, ...] = ()) -> "Detections":
        return cls(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), names)


@runtime_checkable
class Coder(Protocol):
    """Turns boxes into what a head predicts relative to its priors, and back."""

    def encode(self, priors: Priors, boxes: Float[Tensor, "p 4"]) -> Float[Tensor, "p 4"]: ...

    def decode(self, priors: Priors, deltas: Float[Tensor, "p 4"]) -> Float[Tensor, "p 4"]: ...
