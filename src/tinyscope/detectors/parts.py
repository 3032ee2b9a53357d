"""What detectors ask of their parts."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor

from tinyscope.types import Coder, DenseOutputs, Matches, Priors, Pyramid, Size, Target


@runtime_checkable
class PriorMaker(Protocol):
    """The priors of levels of given sizes (cells), fine to coarse."""

    per_cell: int

    def __call__(self, sizes: Sequence[Size], device: torch.device) -> Priors: ...


@runtime_checkable
class Assigner(Protocol):
    """Which box each prior answers for: rows of `boxes`, BACKGROUND or IGNORED."""

    def __call__(self, priors: Priors, boxes: Tensor) -> Int64[Tensor, "p"]: ...


@runtime_checkable
class BatchAssigner(Assigner, Protocol):
    """An assigner that takes the objects of all images of a batch at once.

    Where it has `carry`, what an image is assigned depends on the images before it.
    """

    @property
    def carry(self) -> bool: ...

    def batch(self, priors: Priors, boxes: Sequence[Tensor]) -> list[Int64[Tensor, "p"]]: ...


@runtime_checkable
class Sampler(Protocol):
    """Which assigned priors take part in the loss.

    `assigned` (p,) holds rows of `target`, which has no ignored ones; `scores` (p,) are those that
    an earlier stage gave the priors, None in a first one.
    """

    def __call__(
        self, assigned: Tensor, target: Target, priors: Priors, scores: Tensor | None = None
    ) -> Matches: ...


@runtime_checkable
class DenseHead(Protocol):
    """Raw outputs of every prior of a pyramid, and the losses of them."""

    def __call__(self, pyramid: Pyramid) -> DenseOutputs: ...

    def loss(
        self, outputs: DenseOutputs, matches: Sequence[Matches], priors: Priors, coder: Coder
    ) -> dict[str, Tensor]: ...


@runtime_checkable
class PriorHead(DenseHead, Protocol):
    """A dense head that tells classes apart.

    What its logits mean is its own matter; `class_logits` are those of the score of each class.
    """

    def class_logits(self, logits: Tensor) -> Tensor: ...


@runtime_checkable
class RoiHead(Protocol):
    """Logits and deltas of pooled proposals, and the losses of them.

    What the logits mean is the head's own matter: `scores` of them are those of the classes, and of
    background last, and `best` is the class of each row with the highest score.
    """

    classes: int

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor]: ...

    def scores(self, logits: Tensor) -> Tensor: ...

    def best(self, logits: Tensor) -> Tensor: ...

    def class_deltas(self, deltas: Tensor, labels: Tensor) -> Tensor: ...

    def loss(
        self, logits: Tensor, deltas: Tensor, labels: Tensor, targets: Tensor
    ) -> dict[str, Tensor]: ...
