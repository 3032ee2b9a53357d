"""Bottom-heavy ResNet-50 and ResNet-50 beside torchvision's resnet50: time and memory of a step.

Forward, and forward and backward, of random weights on random images; every case in a process of
its own, one after the other, each precision and memory format asked for. The loss is the mean of
all four levels. The figures are medians; ratios are to torchvision's of the same precision and
format.

    python benchmarks/backbones.py [--precision 32 bf16] [--format contiguous channels_last]
        [--norms batch fixed] [--device cpu] [--height 512] [--width 640] [--batch 2] [--steps 5]
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
import torchvision
from _measure import added_megabytes, in_own_process
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter

from tinyscope.engine.machine import autocast, choose_precision
from tinyscope.nn.backbones import BACKBONES

TORCHVISION = "torchvision resnet50"
OURS = {
    "ResNet-50": {"name": "resnet", "depth": 50},
    "BH-ResNet-50": {"name": "bottom_heavy"},
}


@dataclass(frozen=True)
class Case:
    """One net under one setting; `fixed` norms use the statistics they have, as in fine-tuning."""

    net: str
    precision: str
    channels_last: bool
    fixed: bool
    device: str
    size: tuple[int, int]
    batch: int
    steps: int


@dataclass(frozen=True)
class Cost:
    forward: float  # seconds
    both: float  # forward and backward
    megabytes: float


def network(case: Case) -> nn.Module:
    """The net in train mode, to its four levels."""
    if case.net != TORCHVISION:
        net: nn.Module = BACKBONES.build(OURS[case.net] | {"norm_eval": case.fixed})
        return net.train()
    whole = torchvision.models.resnet50(weights=None)
    net = IntermediateLayerGetter(whole, {f"layer{i}": str(i) for i in range(1, 5)}).train()
    for module in net.modules():
        if case.fixed and isinstance(module, nn.BatchNorm2d):
            module.eval()
    return net


def steps(case: Case) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A forward pass that keeps what backward would need, and one with the backward pass."""
    device = torch.device(case.device)
    order = torch.channels_last if case.channels_last else torch.contiguous_format
    torch.manual_seed(0)
    net = network(case).to(device=device, memory_format=order)
    images = torch.randn(case.batch, 3, *case.size).to(device=device, memory_format=order)
    precision = choose_precision(case.precision, device)

    def forward() -> Tensor:
        with autocast(precision, device):
            levels = net(images)
        levels = levels.values() if isinstance(levels, dict) else levels
        return torch.stack([level.float().mean() for level in levels]).sum()

    def both() -> None:
        net.zero_grad(set_to_none=True)
        forward().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()

    def forward_alone() -> None:
        forward()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return forward_alone, both


def cost(case: Case) -> Cost:
    """Median seconds, and the peak of memory that two steps add."""
    forward, both = steps(case)
    if case.device == "cuda":
        both()  # libraries load and choose their algorithms first
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        both()
        megabytes = (torch.cuda.max_memory_allocated() - before) / 2**20
    else:
        megabytes = added_megabytes(both)
    return Cost(_median(forward, case.steps), _median(both, case.steps), megabytes)


def _median(step: Callable[[], Any], repeats: int) -> float:
    spent = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        step()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent[1:])  # the first one warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", nargs="+", choices=["32", "bf16", "16"], default=["32"])
    parser.add_argument(
        "--format",
        nargs="+",
        choices=["contiguous", "channels_last"],
        default=["contiguous", "channels_last"],
    )
    parser.add_argument("--norms", nargs="+", choices=["batch", "fixed"], default=["batch"])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    chosen = parser.parse_args()
    print(
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, {chosen.device}, "
        f"{torch.get_num_threads()} threads, {platform.machine()}; "
        f"{chosen.width}x{chosen.height}, batch {chosen.batch}"
    )
    print(
        "| precision | format | norms | net | forward s | forward+backward s | ratio | MB | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for precision, order, norms in product(chosen.precision, chosen.format, chosen.norms):
        peer = None
        for net in (TORCHVISION, *OURS):
            case = Case(
                net,
                precision,
                order == "channels_last",
                norms == "fixed",
                chosen.device,
                (chosen.height, chosen.width),
                chosen.batch,
                chosen.steps,
            )
            found: Cost = in_own_process(cost, case)
            peer = peer or found
            print(
                f"| {precision} | {order} | {norms} | {net} | {found.forward:.3f} "
                f"| {found.both:.3f} | {found.both / peer.both:.2f} "
                f"| {found.megabytes:.0f} | {found.megabytes / peer.megabytes:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
