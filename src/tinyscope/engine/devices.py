"""Where a run computes: one CPU or GPU, several GPUs, several machines."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.strategy import Strategy

from tinyscope.engine.machine import Precision, choose_precision
from tinyscope.errors import TinyscopeError

_PRECISIONS: dict[Precision, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}


def open_fabric(wanted: str, devices: int = 1) -> tuple[Fabric, Precision]:
    """Fabric, launched, and the precision that it computes in.

    Under torchrun its numbers of processes and machines hold; otherwise `devices` processes
    start on this machine.

    Args:
        wanted: Precision as in the settings, perhaps "auto".
        devices: Number of GPUs, or of processes where there is no GPU.
    """
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    precision = choose_precision(wanted, torch.device(kind))
    world = int(os.environ.get("WORLD_SIZE", devices))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
    fabric = Fabric(
        accelerator=kind,
        devices=local,
        num_nodes=world // local,
        strategy=_strategy(kind) if world > 1 else "auto",
        precision=_PRECISIONS[precision],
    )
    fabric.launch()
    return fabric, precision


def in_first_process(fabric: Fabric, work: Callable[[], None]) -> None:
    """Runs `work` in the first process while the others wait; its errors are raised in all.

    Raises:
        TinyscopeError: As `work`.
    """
    failure: TinyscopeError | None = None
    if fabric.is_global_zero:
        try:
            work()
        except TinyscopeError as error:
            failure = error
    failure = fabric.broadcast(failure)
    if failure is not None:
        raise failure


def _strategy(kind: str) -> Strategy:
    # The first process evaluates while the others wait: longer than the default allows.
    backend = "nccl" if kind == "cuda" else "gloo"
    return DDPStrategy(process_group_backend=backend, timeout=timedelta(hours=4))
