"""What each block of a network costs, so that other depths need not be built."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from tinyscope.analysis.operations import count_operations
from tinyscope.analysis.walk import Walk
from tinyscope.errors import SettingsError
from tinyscope.types import Size


@dataclass(frozen=True)
class StageCosts:
    """Published operations (or parameters) of the stem, and of a first and a further block per
    stage; a network of any depths costs their sum."""

    stem: int
    first: tuple[int, ...]
    further: tuple[int, ...]

    def of(self, depths: Sequence[int]) -> int:
        """Of a network with so many blocks in its stages."""
        more = (n * (depth - 1) for n, depth in zip(self.further, depths, strict=True))
        return self.stem + sum(self.first) + sum(more)


def stage_costs(
    build: Callable[[tuple[int, ...]], nn.Module], stages: int, size: Size
) -> tuple[StageCosts, StageCosts]:
    """Operations for one image, and parameters.

    Args:
        build: A backbone of residual stages (`layer1.0`, ...) by its depths.
        stages: How many it has.
        size: (h, w) of the image.

    Raises:
        SettingsError: The backbone has no such stages.
    """
    with torch.device("meta"):
        network = build((2,) * stages)
    count = block_operations(network, size)
    operations, parameters = [0] * (2 * stages + 1), [0] * (2 * stages + 1)
    for path, number in count.items():
        operations[_place(path, stages)] += number
    for path, parameter in network.named_parameters():
        parameters[_place(path, stages)] += parameter.numel()
    if not all(operations):
        raise SettingsError(
            f"{type(network).__name__}: its blocks are not found in stages named layer1, layer2, "
            "...; depths are suggested for the backbones resnet and bottom_heavy"
        )
    return _costs(operations, stages), _costs(parameters, stages)


def block_operations(network: nn.Module, size: Size) -> dict[str, int]:
    """Published operations for one image of a backbone on the meta device, by module path."""
    walk = Walk(network, 0)

    def run(images: int) -> None:
        walk(torch.empty(images, 3, *size, device="meta"))

    counted = count_operations(walk, run).published
    return {path.partition(".")[2]: sum(kinds.values()) for path, kinds in counted.items()}


def _place(path: str, stages: int) -> int:
    """0 for the stem, then the first blocks of all stages, then the further ones."""
    found = re.match(r"layer(\d+)\.(\d+)", path)
    if not found:
        return 0
    return int(found[1]) + (stages if int(found[2]) else 0)


def _costs(sums: Sequence[int], stages: int) -> StageCosts:
    return StageCosts(sums[0], tuple(sums[1 : stages + 1]), tuple(sums[stages + 1 :]))
