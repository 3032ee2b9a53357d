"""Losses of necks that emit something of their own."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from tinyscope.errors import SettingsError
from tinyscope.types import Pyramid, Target


@runtime_checkable
class SupervisedNeck(Protocol):
    """A neck that emits more than maps (attention) and owns the target and the loss of it."""

    def loss(self, pyramid: Pyramid, targets: Sequence[Target]) -> dict[str, Tensor]: ...


@runtime_checkable
class TeachesItsNeck(Protocol):
    """A detector that adds the losses of its neck to its own, where the neck has any."""

    adds_neck_losses: bool


def refuse_dropped_losses(neck: nn.Module, detector: object, names: tuple[str, str]) -> None:
    """Passes where the neck has no loss of its own, or where the detector adds it.

    Args:
        neck: Of the detector.
        detector: Its class.
        names: Of the neck and of the detector, in the settings.

    Raises:
        SettingsError: What the neck emits would never be learned.
    """
    if isinstance(neck, SupervisedNeck) and not isinstance(detector, TeachesItsNeck):
        raise SettingsError(
            f"model.neck: what {names[0]} emits beside its maps is learned by a loss of its own, "
            f"which {names[1]} does not add, so it would never be learned; choose another neck, "
            "such as fpn"
        )


def neck_losses(neck: nn.Module, pyramid: Pyramid, targets: Sequence[Target]) -> dict[str, Tensor]:
    """Named losses () of the neck's own; none for most necks."""
    return neck.loss(pyramid, targets) if isinstance(neck, SupervisedNeck) else {}
