"""Training steps of Faster R-CNN with SSPNet's neck, with a transcription of it, and with an FPN.

The transcription computes the neck as its formulas stand: one map of four times the channels at
stride 4, every view and every product a map of its own. It has our weights, and the largest
difference of what comes out is printed. All three share backbone, heads, images and objects, and
take turns; a step is forward, losses and backward. Figures are medians; ratios are to the
transcription. Memory is what two steps add to a process of their own. The last lines are the
context module alone, forward and backward, and its share of the step.

    python benchmarks/sspnet.py [--precision 32 bf16] [--steps 5] [--batch 2] [--height 512]
        [--width 640] [--channels 256] [--objects 40]
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from _measure import added_megabytes, in_own_process
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.detectors.build import build
from tinyscope.engine.machine import autocast, choose_channels_last, choose_precision
from tinyscope.nn.necks.context_attention import ContextAttention
from tinyscope.nn.necks.sspnet import AttentionPyramid, SSPNet
from tinyscope.types import Target

CPU = torch.device("cpu")
NECKS = ("transcription", "ours", "fpn")
MAX_IOU = {"name": "max_iou"}
RPN = {
    "name": "proposals",
    "head": {"name": "rpn"},
    "priors": {"name": "anchors", "scale": 1.5, "octaves": 4, "ratios": [0.4, 0.8, 1.4]},
    "assigner": MAX_IOU | {"positive": 0.7, "negative": 0.3, "rescue": 0.3},
    "sampler": {"name": "random", "count": 256, "positive_fraction": 0.5},
    "coder": {"name": "delta"},
    "train_before": 2000,
    "train_after": 1000,
}
ROI = {
    "name": "boxes",
    "head": {"name": "two_fc"},
    "assigner": MAX_IOU | {"positive": 0.5, "negative": 0.5, "rescue": None},
    "sampler": {"name": "random", "count": 512, "positive_fraction": 0.25},
    "coder": {"name": "delta", "stds": [0.1, 0.1, 0.2, 0.2]},
}


@dataclass(frozen=True)
class Case:
    neck: str
    precision: str
    size: tuple[int, int]
    batch: int
    channels: int
    objects: int


class Transcription(nn.Module):
    """The neck by its formulas, with the parts of another one."""

    def __init__(self, neck: SSPNet) -> None:
        super().__init__()
        self.neck, self.strides, self.channels = neck, neck.strides, neck.channels
        self.loss = neck.loss

    def forward(self, levels: Sequence[Tensor]) -> AttentionPyramid:
        neck = self.neck
        laterals = [conv(x) for conv, x in zip(neck.lateral, levels, strict=True)]
        logits = transcribed_context(neck.context, laterals)
        attention = [x.sigmoid() for x in logits]
        maps = [(1 + a) * x for a, x in zip(attention, laterals, strict=True)]
        for i in (3, 2, 1):
            size = maps[i - 1].shape[-2:]
            gate = attention[i - 1] * functional.interpolate(attention[i], size)
            maps[i - 1] = maps[i - 1] + gate * functional.interpolate(maps[i], size)
        out = [(1 + a) * c(x) for a, c, x in zip(attention, neck.smooth, maps, strict=True)]
        out.append(functional.max_pool2d(out[-1], 1, stride=2))
        return AttentionPyramid(tuple(out), self.strides, tuple(attention), tuple(logits))


def transcribed_context(context: ContextAttention, levels: Sequence[Tensor]) -> list[Tensor]:
    """Logits of the four levels from one concatenated map."""
    size, views, join = levels[0].shape[-2:], context.views, context.join
    enlarged = [levels[0], *(functional.interpolate(x, size) for x in levels[1:])]
    x = functional.conv2d(torch.cat(enlarged, dim=1), join.weight, join.bias, padding=1)
    seen = [functional.relu(view(x)) for view in (views.cell, *views.wide)]
    whole = functional.relu(views.whole(functional.adaptive_avg_pool2d(x, 1)))
    x = torch.cat([*seen, functional.interpolate(whole, size)], dim=1)
    x = functional.relu(context.norm(context.blend(x)))
    logits = []
    for down, attend in zip(context.down, context.attend, strict=True):
        x = down(x)
        logits.append(attend(x))
    return logits


def detector(case: Case) -> nn.Module:
    """In train mode, with the same weights whatever the neck is called."""
    torch.manual_seed(0)
    name = "fpn" if case.neck == "fpn" else "sspnet"
    model = build(
        {
            "name": "two_stage",
            "backbone": {"name": "resnet", "depth": 50, "norm_eval": True},
            "neck": {"name": name, "channels": case.channels, "coarsest": 64},
            "rpn": RPN,
            "roi": ROI,
        },
        classes=1,
    )
    if case.neck == "transcription":
        model.neck = Transcription(model.neck)
    if _last(case):
        model = model.to(memory_format=torch.channels_last)
    return model.train()


def images_of(case: Case) -> tuple[Tensor, list[Target]]:
    """Images (b, 3, h, w) and objects of 4 to 32 px."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (case.batch, 3, *case.size), generator=generator).byte()
    if _last(case):
        images = images.contiguous(memory_format=torch.channels_last)
    targets = []
    for _ in range(case.batch):
        room = torch.tensor([case.size[1] - 32.0, case.size[0] - 32.0])
        corner = torch.rand(case.objects, 2, generator=generator) * room
        sides = 4 * 8 ** torch.rand(case.objects, 2, generator=generator)
        labels = torch.zeros(case.objects, dtype=torch.int64)
        targets.append(Target(torch.cat([corner, corner + sides], dim=1), labels, labels.bool()))
    return images, targets


def step_of(case: Case) -> Callable[[], Any]:
    """Forward, losses and backward."""
    model, (images, targets) = detector(case), images_of(case)
    precision = choose_precision(case.precision, CPU)

    def step() -> None:
        with autocast(precision, CPU):
            losses = model.loss(model(images), targets, [case.size] * case.batch)
        model.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()

    return step


def context_step_of(case: Case) -> Callable[[], Any]:
    """Forward and backward of the context module, in the neck's form."""
    torch.manual_seed(0)
    context = ContextAttention(case.channels).train()
    order = torch.channels_last if _last(case) else torch.contiguous_format
    context = context.to(memory_format=order)
    levels = []
    for stride in (4, 8, 16, 32):
        size = (case.size[0] // stride, case.size[1] // stride)
        x = torch.randn(case.batch, case.channels, *size).contiguous(memory_format=order)
        levels.append(x.requires_grad_())
    precision = choose_precision(case.precision, CPU)

    def step() -> None:
        with autocast(precision, CPU):
            transcribed = case.neck == "transcription"
            logits = transcribed_context(context, levels) if transcribed else context(levels)
        torch.stack([x.float().mean() for x in logits]).sum().backward()

    return step


def difference(case: Case) -> float:
    """Of the levels and attention of both forms, in single precision, by the largest value."""
    neck = SSPNet([case.channels] * 4, [4, 8, 16, 32], channels=case.channels, coarsest=64).eval()
    levels = [
        torch.randn(1, case.channels, case.size[0] // s, case.size[1] // s) for s in (4, 8, 16, 32)
    ]
    with torch.no_grad():
        ours, theirs = neck(levels), Transcription(neck)(levels)
    pairs = zip(ours.levels + ours.attention, theirs.levels + theirs.attention, strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def seconds(steps: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Median seconds of steps that take turns, after one of each to warm up."""
    spent: list[list[float]] = [[] for _ in steps]
    for turn in range(repeats + 1):
        for step, times in zip(steps, spent, strict=True):
            start = time.perf_counter()
            step()
            if turn:
                times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in spent]


def _megabytes(case: Case) -> float:
    return added_megabytes(step_of(case))


def _last(case: Case) -> bool:
    return choose_channels_last("auto", choose_precision(case.precision, CPU), CPU)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", nargs="+", choices=["32", "bf16"], default=["32", "bf16"])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--objects", type=int, default=40)
    chosen = parser.parse_args()
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}; "
        f"{chosen.width}x{chosen.height}, batch {chosen.batch}, {chosen.channels} channels, "
        f"{chosen.objects} objects per image"
    )
    size = (chosen.height, chosen.width)
    rest = (size, chosen.batch, chosen.channels, chosen.objects)
    print(f"largest difference: {difference(Case('ours', '32', *rest)):.1e} of the largest value")
    print("| precision | neck | step s | ratio | MB | ratio | context s | ratio | of the step |")
    print("|---|---|---|---|---|---|---|---|---|")
    for precision in chosen.precision:
        cases = [Case(neck, precision, *rest) for neck in NECKS]
        megabytes = [in_own_process(_megabytes, case) for case in cases]
        times = seconds([step_of(case) for case in cases], chosen.steps)
        contexts = seconds([context_step_of(case) for case in cases[:2]], chosen.steps)
        for i, case in enumerate(cases):
            row = f"| {precision} | {case.neck} | {times[i]:.2f} | {times[i] / times[0]:.2f} "
            row += f"| {megabytes[i]:.0f} | {megabytes[i] / megabytes[0]:.2f} |"
            if i < len(contexts):
                share = 100 * contexts[i] / times[i]
                row += f" {contexts[i]:.2f} | {contexts[i] / contexts[0]:.2f} | {share:.0f} % |"
            print(row if i < len(contexts) else f"{row} | | |", flush=True)


if __name__ == "__main__":
    main()
