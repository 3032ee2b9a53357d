"""One training step as a module: pixels and what they show to named losses."""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from tinyscope.types import Dropped

SEED_STRIDE = 1_000_003
"""Prime between the seeds of successive steps, so that processes and runs rarely share one."""


@runtime_checkable
class StepBatch(Protocol):
    """What a step asks of a batch: a frozen dataclass of tensors."""

    @property
    def images(self) -> Tensor: ...

    @property
    def files(self) -> tuple[str, ...]: ...

    @property
    def dropped(self) -> Dropped: ...

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What the model's `forward` takes; the images come first."""

    @property
    def answers(self) -> tuple[Any, ...]:
        """What the model's loss takes after the outputs."""

    def __len__(self) -> int: ...


class Sealed:
    """Carries a batch through Fabric, which looks for tensors to convert and refuses our types.

    It walks into every dataclass that it meets, to change it in place; ours are frozen.
    """

    def __init__(self, batch: StepBatch) -> None:
        self.batch = batch


class TrainStep(nn.Module):
    """Forward and loss of a model in one `forward`, as distributed training must see them.

    Args:
        model: With `forward(*inputs)` and `loss(outputs, *answers)` of a batch's two.
        channels_last: Keep feature maps with the channels innermost.
    """

    def __init__(self, model: nn.Module, *, channels_last: bool = False) -> None:
        super().__init__()
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = model.to(memory_format=self.format)

    def forward(self, sealed: Sealed) -> dict[str, Tensor]:
        """Named losses (); their sum is what is minimized."""
        batch = sealed.batch
        images, *others = batch.inputs
        outputs = self.model(images.contiguous(memory_format=self.format), *others)
        loss: Any = self.model.loss
        losses: dict[str, Tensor] = loss(outputs, *batch.answers)
        return losses


@dataclass(frozen=True)
class StepSeed:
    """Seeds torch's random numbers (samplers, dropout) anew for every batch.

    What a step draws then follows from where it is in the run, and a resumed run needs no state
    of a generator.
    """

    seed: int
    rank: int = 0

    def __call__(self, batch: int) -> None:
        """For batch number `batch` of this process, counted over the whole run."""
        torch.manual_seed((self.seed * SEED_STRIDE + batch) * SEED_STRIDE % 2**62 + self.rank)


V = TypeVar("V")


def to_device(value: V, device: torch.device) -> V:
    """The value with its tensors, also those inside tuples and dataclasses, on `device`."""
    moved: Any = value
    if isinstance(value, Tensor):
        moved = value.to(device, non_blocking=True)
    elif isinstance(value, tuple):
        moved = tuple(to_device(part, device) for part in value)
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: to_device(getattr(value, f.name), device) for f in fields(value)}
        moved = replace(value, **parts)
    return moved  # type: ignore[no-any-return]
