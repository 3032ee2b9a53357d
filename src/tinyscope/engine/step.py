"""One training step as a module: pixels and targets to named losses."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from tinyscope.types import Batch, Target

SEED_STRIDE = 1_000_003
"""Prime between the seeds of successive steps, so that processes and runs rarely share one."""


class Sealed:
    """Carries a batch through Fabric, which looks for tensors to convert and refuses our types.

    It walks into every dataclass that it meets, to change it in place; ours are frozen.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch


class TrainStep(nn.Module):
    """Forward and loss of a detector in one `forward`, as distributed training must see them.

    Args:
        detector: With `forward(images)` and `loss(outputs, targets, sizes)`.
        channels_last: Keep feature maps with the channels innermost.
    """

    def __init__(self, detector: nn.Module, *, channels_last: bool = False) -> None:
        super().__init__()
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.detector = detector.to(memory_format=self.format)

    def forward(self, sealed: Sealed) -> dict[str, Tensor]:
        """Named losses (); their sum is what is minimized."""
        batch = sealed.batch
        outputs = self.detector(batch.images.contiguous(memory_format=self.format))
        loss: Any = self.detector.loss
        losses: dict[str, Tensor] = loss(outputs, batch.targets, batch.sizes)
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


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on `device`."""
    if batch.images.device == device:
        return batch
    return replace(
        batch,
        images=batch.images.to(device, non_blocking=True),
        targets=tuple(
            Target(
                target.boxes.to(device, non_blocking=True),
                target.labels.to(device, non_blocking=True),
                target.ignore.to(device, non_blocking=True),
            )
            for target in batch.targets
        ),
    )
