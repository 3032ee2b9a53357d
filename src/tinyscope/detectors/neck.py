"""Losses of necks that emit something of their own."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from tinyscope.types import Pyramid, Target


@runtime_checkable
class SupervisedNeck(Protocol):
    """A neck that emits more than maps (attention) and owns the target and the loss of it."""

    def loss(self, pyramid: Pyramid, targets: Sequence[Target]) -> dict[str, Tensor]: ...


def neck_losses(neck: nn.Module, pyramid: Pyramid, targets: Sequence[Target]) -> dict[str, Tensor]:
    """Named losses () of the neck's own; none for most necks."""
    return neck.loss(pyramid, targets) if isinstance(neck, SupervisedNeck) else {}
