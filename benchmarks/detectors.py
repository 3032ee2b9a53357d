"""Training step and inference beside torchvision's detectors, same work, one process run.

Both sides get the same backbone, anchors, proposals, sampling, limits, images and objects, start
from random weights and run in turns; the figures are medians. Ours runs as training does on this
machine (precision and memory format chosen for it); `--precision 32` compares like with like.

    python benchmarks/detectors.py [--only faster_rcnn fcos retinanet] [--steps 5] [--precision 32]
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from _measure import added_megabytes, in_own_process
from torch import Tensor
from torchvision.models import detection

from tinyscope.detectors.build import build
from tinyscope.engine.machine import autocast, choose_channels_last, choose_precision
from tinyscope.types import Target

HEIGHT, WIDTH, BATCH, OBJECTS, CLASSES = 512, 640, 2, 40, 8
CPU = torch.device("cpu")
Step = Callable[[], Any]

RESNET = {"name": "resnet", "depth": 50}
MAX_IOU = {"name": "max_iou"}
OURS: dict[str, dict[str, Any]] = {
    "faster_rcnn": {
        "name": "two_stage",
        "backbone": RESNET,
        "neck": {"name": "fpn", "coarsest": 64},
        "rpn": {
            "name": "proposals",
            "head": {"name": "rpn"},
            "priors": {"name": "anchors", "scale": 8.0},
            "assigner": MAX_IOU | {"positive": 0.7, "negative": 0.3, "rescue": 0.0},
            "sampler": {"name": "random", "count": 256, "positive_fraction": 0.5},
            "coder": {"name": "delta"},
            "test_before": 1000,
            "test_after": 1000,
        },
        "roi": {
            "name": "boxes",
            "head": {"name": "two_fc"},
            "assigner": MAX_IOU | {"positive": 0.5, "negative": 0.5, "rescue": None},
            "sampler": {"name": "random", "count": 512, "positive_fraction": 0.25},
            "coder": {"name": "delta", "stds": [0.1, 0.1, 0.2, 0.2]},
            "finest": 112.0,
            "limit": 100,
        },
    },
    "fcos": {
        "name": "dense",
        "backbone": RESNET,
        "neck": {"name": "fpn", "finest": 8, "coarsest": 128, "extra": "conv_output"},
        "head": {"name": "fcos"},
        "priors": {"name": "points"},
        "assigner": {"name": "center", "range_factor": 8.0, "nearest": False},
        "sampler": {"name": "all"},
        "coder": {"name": "distance"},
        "score_threshold": 0.2,
        "candidates": 1000,
        "nms": 0.6,
        "limit": 100,
    },
    "retinanet": {
        "name": "dense",
        "backbone": RESNET,
        "neck": {"name": "fpn", "finest": 8, "coarsest": 128, "extra": "conv_input"},
        "head": {"name": "retina"},
        "priors": {"name": "anchors", "scale": 4.0, "octaves": 3},
        "assigner": MAX_IOU,
        "sampler": {"name": "all"},
        "coder": {"name": "delta"},
        "candidates": 1000,
        "limit": 300,
    },
}
THEIRS = {
    "faster_rcnn": (detection.fasterrcnn_resnet50_fpn, {"num_classes": CLASSES + 1}),
    "fcos": (detection.fcos_resnet50_fpn, {"num_classes": CLASSES}),
    "retinanet": (detection.retinanet_resnet50_fpn, {"num_classes": CLASSES}),
}


def scene(seed: int) -> tuple[Tensor, list[Target]]:
    """Images (b, 3, h, w) and objects of 8 to 64 px."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (BATCH, 3, HEIGHT, WIDTH), generator=generator).byte()
    targets = []
    for _ in range(BATCH):
        corner = torch.rand(OBJECTS, 2, generator=generator) * torch.tensor([570.0, 440.0])
        sides = 8 * 8 ** torch.rand(OBJECTS, 2, generator=generator)
        labels = torch.randint(0, CLASSES, (OBJECTS,), generator=generator)
        ignore = torch.zeros(OBJECTS, dtype=torch.bool)
        targets.append(Target(torch.cat([corner, corner + sides], dim=1), labels, ignore))
    return images, targets


def our_steps(name: str, wanted: str) -> tuple[Step, Step]:
    """A training step and an inference of ours."""
    precision = choose_precision(wanted, CPU)
    last = choose_channels_last("auto", precision, CPU)
    model = build(OURS[name], CLASSES)
    images, targets = scene(0)
    sizes = [(HEIGHT, WIDTH)] * BATCH
    if last:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def train() -> None:
        model.train()
        with autocast(precision, CPU):
            losses = model.loss(model(images), targets, sizes)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()

    @torch.inference_mode()
    def infer() -> Any:
        model.eval()
        with autocast(precision, CPU):
            return model.decode(model(images), sizes)

    return train, infer


def their_steps(name: str) -> tuple[Step, Step]:
    """The same of torchvision."""
    make, options = THEIRS[name]
    model = make(weights=None, weights_backbone=None, min_size=HEIGHT, max_size=WIDTH, **options)
    images, targets = scene(0)
    shift = 1 if name == "faster_rcnn" else 0  # its class 0 is the background
    pictures = list(images.float() / 255)
    truths = [{"boxes": t.boxes, "labels": t.labels + shift} for t in targets]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def train() -> None:
        model.train()
        losses = model(pictures, truths)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()

    @torch.inference_mode()
    def infer() -> Any:
        model.eval()
        return model(pictures)

    return train, infer


def seconds(steps: tuple[Step, Step], repeats: int) -> tuple[float, float]:
    """Median seconds of each of two steps that take turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for step in steps:
        step()
    for _ in range(repeats):
        for step, spent in zip(steps, times, strict=True):
            start = time.perf_counter()
            step()
            spent.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def _peak(name: str, ours: bool, which: int, precision: str) -> float:
    return added_megabytes((our_steps(name, precision) if ours else their_steps(name))[which])


def peak_megabytes(name: str, ours: bool, which: int, precision: str) -> float:
    """What two steps add to the resident memory of a process of their own, optimizer included."""
    megabytes: float = in_own_process(_peak, name, ours, which, precision)
    return megabytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(OURS), default=list(OURS))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    precision = choose_precision(arguments.precision, CPU)
    print(
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"{torch.get_num_threads()} threads, {platform.machine()}; ours in {precision}, "
        f"channels last: {choose_channels_last('auto', precision, CPU)}; "
        f"{WIDTH}x{HEIGHT}, batch {BATCH}, {OBJECTS} objects per image"
    )
    print("| detector | step | torchvision s | ours s | ratio | torchvision MB | ours MB | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.only:
        torch.manual_seed(0)
        theirs, ours = their_steps(name), our_steps(name, arguments.precision)
        for which, label in enumerate(("training", "inference")):
            slow, fast = seconds((theirs[which], ours[which]), arguments.steps)
            peer = peak_megabytes(name, False, which, arguments.precision)
            mine = peak_megabytes(name, True, which, arguments.precision)
            print(
                f"| {name} | {label} | {slow:.2f} | {fast:.2f} | {fast / slow:.2f} "
                f"| {peer:.0f} | {mine:.0f} | {mine / peer:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
