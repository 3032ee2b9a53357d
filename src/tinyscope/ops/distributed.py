"""Sums over the processes of a distributed run."""

import torch
import torch.distributed
from torch import Tensor


def processes() -> int:
    """Number of processes that train together; 1 where nothing is distributed."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1


def shared_count(count: Tensor, *, floor: float = 1.0) -> Tensor:
    """What a summed loss of this process is divided by, given its own `count` ().

    Gradients are averaged over the processes, so a sum divided by (total / processes) ends up as
    the sum over all processes divided by the total, whatever the split. A total below
    `floor` counts as `floor`.
    """
    total = count.detach().to(torch.float32)
    if (n := processes()) > 1:
        total = total.clone()
        torch.distributed.all_reduce(total)
        return total.clamp(min=floor) / n
    return total.clamp(min=floor)
