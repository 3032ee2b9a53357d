"""Assignment by rank of similarity: ours beside a plain transcription of the published algorithm.

The transcription scores all pairs of object and prior at once, as arXiv:2208.08738's code does,
overlaps and unions included, finds each object's k-th largest score and visits the objects in
order; it shrinks a copy of the priors for its second round. Both see the same priors and the same
objects of 2 to 32 px, in turns, each case in a process of its own; the least time counts. Memory
is what an image adds to the resident memory at its peak. Both give the same priors to the same
objects, which is checked.

    python benchmarks/assignment.py [--quick] [--objects 100 1000] [--runs 3] [--no-transcription]
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from _measure import added_megabytes, in_own_process
from torch import Tensor

from tinyscope.matching.assign.hierarchical import HierarchicalAssigner
from tinyscope.matching.fields import ReceptiveFields
from tinyscope.types import BACKGROUND, IGNORED, Priors

LEVELS = 5
SETS = {
    "anchors from stride 4": (4, (0.5, 1.0, 2.0), 0.0),
    "points from stride 8": (8, (1.0,), 0.5),
    "points from stride 4": (4, (1.0,), 0.5),
}
SHRINK, IGNORE = 0.9, 0.8


@dataclass(frozen=True)
class Case:
    priors: str
    objects: int
    side: int  # of the square image, pixels
    runs: int
    batch: int
    transcription: bool


@dataclass(frozen=True)
class Cost:
    seconds: float  # of an image
    megabytes: float


def priors_of(name: str, side: int) -> Priors:
    start, ratios, offset = SETS[name]
    strides = [start * 2**i for i in range(LEVELS)]
    maker = ReceptiveFields(strides, receptive_fields="published", ratios=ratios, offset=offset)
    return maker([(-(-side // s), -(-side // s)) for s in strides], torch.device("cpu"))


def objects_of(count: int, side: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    sides = 2 * 16 ** torch.rand(count, 2, generator=generator)  # 2 to 32 px, evenly in their log
    corners = torch.rand(count, 2, generator=generator) * (side - 32)
    return torch.cat([corners, corners + sides], dim=1)


def transcribed(priors: Tensor, boxes: Tensor) -> Tensor:
    """Rows of the boxes, BACKGROUND or IGNORED, by the published algorithm as it stands."""
    first, _ = one_round(similarities(boxes, priors), 3)
    centers, sides = (priors[:, :2] + priors[:, 2:]) / 2, (priors[:, 2:] - priors[:, :2]) * SHRINK
    smaller = torch.cat([centers - sides / 2, centers + sides / 2], dim=1)
    second, best = one_round(similarities(boxes, smaller), 1)
    second[(second == BACKGROUND) & (best >= IGNORE)] = IGNORED
    return torch.where(first >= 0, first, second)


def one_round(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    assigned = torch.full((scores.shape[1],), BACKGROUND)
    best = scores.max(dim=0).values
    largest = scores.topk(count, dim=1).values
    for row in range(len(scores)):
        for rank in range(count):
            assigned[scores[row] == largest[row, rank]] = row
    return assigned, best


def similarities(boxes: Tensor, priors: Tensor) -> Tensor:
    """(n, p); the overlap is computed as there, and unused as there."""
    box, prior = boxes[:, None], priors[None]
    low, high = torch.max(box[..., :2], prior[..., :2]), torch.min(box[..., 2:], prior[..., 2:])
    extent = (high - low).clamp(min=0)
    shared = extent[..., 0] * extent[..., 1]
    areas = [(b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1]) for b in (box, prior)]
    torch.max(areas[0] + areas[1] - shared, shared.new_tensor([1e-6]))
    shift = (box[..., :2] + box[..., 2:]) / 2 - (prior[..., :2] + prior[..., 2:]) / 2
    width, height = (box[..., i + 2] - box[..., i] + 1e-6 for i in (0, 1))
    other_width, other_height = (prior[..., i + 2] - prior[..., i] + 1e-6 for i in (0, 1))
    divergence = (
        other_width**2 / width**2
        + other_height**2 / height**2
        + 4 * shift[..., 0] ** 2 / width**2
        + 4 * shift[..., 1] ** 2 / height**2
        + torch.log(width**2 / other_width**2)
        + torch.log(height**2 / other_height**2)
        - 2
    ) / 2
    return 1 / (1 + divergence)


def measured(case: Case) -> Cost:
    torch.set_num_threads(1)
    priors = priors_of(case.priors, case.side)
    images = [objects_of(case.objects, case.side, seed) for seed in range(case.batch)]
    assigner = HierarchicalAssigner(ignore=IGNORE)

    def ours() -> list[Tensor]:
        return assigner.batch(priors, images)

    def theirs() -> list[Tensor]:
        return [transcribed(priors.boxes, boxes) for boxes in images]

    step = theirs if case.transcription else ours
    # Memory first, as what other steps have left free would not be counted.
    megabytes = added_megabytes(step, times=1)
    cost = Cost(least(step, case.runs) / case.batch, megabytes)
    few = images[0][:20]
    assert torch.equal(assigner(priors, few), transcribed(priors.boxes, few))
    return cost


def least(step: Callable[[], Any], runs: int) -> float:
    """CPU seconds: others on the machine do not count."""
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="A small image and few objects.")
    parser.add_argument("--objects", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=1, help="Images that are assigned at once.")
    parser.add_argument(
        "--no-transcription", action="store_true", help="Ours alone; theirs takes up to 10 GB."
    )
    chosen = parser.parse_args()
    side, counts = (128, [10]) if chosen.quick else (800, chosen.objects)
    print(f"image {side} x {side}, 1 thread, {chosen.batch} per batch, torch {torch.__version__}\n")
    print("| priors | objects | | CPU s an image | peak memory, MB | times faster |")
    print("|---|---:|---|---:|---:|---:|")
    for name in SETS:
        number = len(priors_of(name, side))
        for count in counts:
            case = (name, count, side, chosen.runs, chosen.batch)
            ours: Cost = in_own_process(measured, Case(*case, transcription=False))
            rows = [("tinyscope", ours, "")]
            if not chosen.no_transcription:
                theirs: Cost = in_own_process(measured, Case(*case, transcription=True))
                times = f"{theirs.seconds / ours.seconds:.0f}"
                rows = [("tinyscope", ours, times), ("transcription", theirs, "")]
            for who, cost, ratio in rows:
                print(
                    f"| {name}: {number:,} | {count} | {who} | {cost.seconds:.3f} "
                    f"| {cost.megabytes:.0f} | {ratio} |"
                )


if __name__ == "__main__":
    main()
