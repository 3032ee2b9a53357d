"""A detector and a data set small enough to train in a blink, for tests of the loop alone."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from tinyscope.data.batches import collate
from tinyscope.engine.folder import last_checkpoint, prepare_run
from tinyscope.engine.loop import Loop, Plan
from tinyscope.engine.machine import Precision, repeatable
from tinyscope.engine.signals import Stop, stop_signals
from tinyscope.engine.state import Identity
from tinyscope.settings import TrainSettings
from tinyscope.types import Batch, Dropped, Sample, Size, Target


class StandIn(nn.Module):
    """Says how bright an image is; draws random numbers as a sampler would."""

    strides = (4,)

    def __init__(self, norm: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, stride=4, padding=1)
        self.norm = nn.BatchNorm2d(16) if norm else nn.Identity()
        self.last = nn.Conv2d(16, 1, 1)
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.norm(self.first(images / 255 - 0.5)).relu())

    def loss(
        self, outputs: Tensor, targets: Sequence[Target], sizes: Sequence[Size]
    ) -> dict[str, Tensor]:
        wanted = torch.stack([t.boxes.sum() for t in targets]) / 100
        found = outputs.float().mean(dim=(1, 2, 3))
        keep = torch.rand(outputs.shape[2:]) > 0.5
        return {
            "brightness": (found - wanted).square().mean(),
            "speckle": (outputs.float() * keep).square().mean(),
        }


def sample(position: int, seed: int = 0, bad_at: int | None = None) -> Sample:
    random = torch.Generator().manual_seed(seed * 7919 + position)
    image = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8, generator=random)
    corner = torch.rand(1, 2, generator=random) * 8
    if position == bad_at:
        corner = corner * torch.nan
    box = torch.cat([corner, corner + 4], dim=1)
    target = Target(box, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.bool))
    lost = Dropped.of("cut by the window", box) if position % 3 == 0 else Dropped()
    return Sample(image, target, position, f"{position}.png", lost)


def batches(
    start: int, end: int, rank: int, world: int, *, size: int = 4, bad_at: int | None = None
) -> list[Batch]:
    share = size // world
    firsts = [number * size + rank * share for number in range(start, end)]
    return [
        collate([sample(first + i, bad_at=bad_at) for i in range(share)], divisor=4)
        for first in firsts
    ]


def score(detector: nn.Module) -> Mapping[str, float]:
    """Rises and falls with training, so that the best is not the last."""
    assert not detector.training
    with torch.no_grad():
        batch = batches(900, 901, 0, 1)[0]
        return {"AP50": float(detector(batch.images).std())}


def settings(**changes: object) -> TrainSettings:
    small = {
        "steps": 12,
        "warmup_steps": 3,
        "learning_rate": 0.05,
        "precision": "32",
        "ema": 0.9,
        "evaluate_every": 4,
        "checkpoint_every": 5,
    }
    return TrainSettings.model_validate(small | changes)


def start(
    folder: Path,
    resume: bool = False,
    bad_at: int | None = None,
    fabric: Fabric | None = None,  # one of float16; else one of float32
    detector: nn.Module | None = None,
    stop: Stop | None = None,
    size: int = 4,
    **changes: object,
) -> Loop:
    """Runs the loop to its end in this process."""
    chosen = settings(**changes)
    prepare_run(folder, resume)
    checkpoint = last_checkpoint(folder)
    torch.manual_seed(chosen.seed)
    plan = Plan(
        chosen,
        steps=chosen.steps or 0,
        epoch=5.5,
        identity=Identity({"train": chosen.model_dump(mode="json")}, ("speck",), "0"),
        batches=partial(batches, size=size, bad_at=bad_at),
        score=score,
    )
    precision: Precision = "32"
    if fabric is None:
        fabric = Fabric(accelerator="cpu", devices=1)
    else:
        precision = "16"
    with repeatable(fabric.device), stop_signals() as stopped:
        loop = Loop(fabric, precision, detector or StandIn(), plan, folder, checkpoint)
        loop.run(stop or stopped)
    return loop
