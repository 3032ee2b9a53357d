"""Streaming a video beside building the window of every frame anew, with the same model.

Both judge the same frames by 31 of them (`--radius 15`), from random weights. Anew: one forward
pass with backbone and neck of all frames in one batch and flow of all pairs in another. Streaming:
one more frame is pushed, one is judged. Figures are medians over `--frames` frames in the middle
of a video, on the precision that prediction takes on this machine; the largest difference of the
two ways' raw outputs is given with `--precision 32`. Memory is what a process of its own adds.
With `--chain` streaming chains flow between neighbors, while building anew computes that of every
pair, so that the outputs are others. With `--flat 2000` so many frames are streamed, and resident
memory is printed on the way.

    python benchmarks/video.py [--only r50_dc5 r101_dc5 narrow] [--frames 3] [--size 512 288]
        [--precision auto] [--warp-embedding] [--chain] [--flat 2000]
"""

import argparse
import gc
import platform
import statistics
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from _measure import added_megabytes, in_own_process
from torch import Tensor

from tinyscope.detectors.build import build
from tinyscope.detectors.looks import Look
from tinyscope.detectors.video import VideoDetector
from tinyscope.engine.detector import without_files
from tinyscope.engine.machine import autocast
from tinyscope.engine.video import VideoPredictor
from tinyscope.settings import PredictSettings, load_recipe
from tinyscope.types import Detections

CLASSES = 30
RECIPES = {
    "r50_dc5": "fgfa/imagenet_vid_r50_dc5",
    "r101_dc5": "fgfa/imagenet_vid_r101_dc5",
    "narrow": "quick/fgfa",
}
Case = dict[str, Any]


def model_of(case: Case) -> VideoDetector:
    """The recipe's model with random weights; flow of some pixels, as of a trained net."""
    torch.manual_seed(0)
    settings = without_files(load_recipe(RECIPES[case["model"]]).model)
    settings["motion"] = settings["motion"] | {"weights": None}
    if case["warp_embedding"]:
        settings["aggregator"] = settings["aggregator"] | {"warp_embedding": True}
    model = build(settings, CLASSES).eval()
    assert isinstance(model, VideoDetector)
    last: Any = model.motion.predictors[-1]  # type: ignore[attr-defined]
    torch.nn.init.normal_(last.weight, std=1e-3)
    model.chain = case["chain"]
    model.sum_key = True  # as in prediction, so that one forward pass is a window
    return model


def predictor_of(case: Case) -> VideoPredictor:
    frames = {"name": "sliding", "radius": case["radius"]}
    settings = PredictSettings(precision=case["precision"], frames=frames)
    return VideoPredictor(model_of(case), tuple(map(str, range(CLASSES))), settings)


def film(case: Case, length: int) -> Tensor:
    """Frames (t, 3, h, w) of noise; sides are multiples of what the models pad to."""
    width, height = case["size"]
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (length, 3, height, width), dtype=torch.uint8, generator=random)


@torch.no_grad()
def anew(predictor: VideoPredictor, frames: Tensor, key: int) -> tuple[Any, list[Detections]]:
    """A frame by its whole window, computed from pixels: raw outputs and detections."""
    window = predictor.rule(key, len(frames))
    numbers = [key, *(n for i, n in enumerate(window.frames) if i != window.slot)]
    model, size = predictor.video, (int(frames.shape[-2]), int(frames.shape[-1]))
    assert model is not None
    inside = predictor.predictor
    with autocast(inside.precision, inside.device):
        outputs = model(frames[numbers].to(inside.device), (len(numbers) - 1,), (size,))
        return outputs, inside.decoded(iter([Look(outputs, [size])]), [size])


def seconds(case: Case, way: str) -> list[float]:
    """Of one frame after the other, in the middle of a video."""
    predictor, times = predictor_of(case), []
    window = 2 * case["radius"] + 1
    frames = film(case, window + case["frames"])
    if way == "anew":
        for key in range(case["radius"], case["radius"] + case["frames"]):
            begin = time.perf_counter()
            anew(predictor, frames, key)
            times.append(time.perf_counter() - begin)
        return times
    for frame in frames[: window - 1]:  # while the window fills, answers are not waited for
        predictor._held[predictor._pushed] = predictor._see(frame)
        predictor._pushed += 1
    predictor._judged = case["radius"]
    for frame in frames[window - 1 :]:
        begin = time.perf_counter()
        assert len(predictor.push(frame)) == 1
        times.append(time.perf_counter() - begin)
    return times[-case["frames"] :]


def megabytes(case: Case, way: str) -> float:
    """What one frame adds to a process, its window included."""
    short = case | {"frames": 1}
    return added_megabytes(lambda: seconds(short, way), times=1)


@torch.no_grad()
def difference(case: Case) -> float:
    """The largest of the two ways' logits of one frame, over the largest logit."""
    predictor = predictor_of(case | {"precision": "32"})
    frames = film(case, 2 * case["radius"] + 1)
    size = (int(frames.shape[-2]), int(frames.shape[-1]))
    model, key = predictor.video, case["radius"]
    assert model is not None
    seen = [model.see(frame[None], [size]) for frame in frames]
    streamed = model.judge(seen[key], seen, key)
    whole, _ = anew(predictor, frames, key)
    one, other = (getattr(x, "proposals", x).logits for x in (streamed, whole))
    return float((one - other).abs().max() / other.abs().max())


def flat(case: Case, length: int) -> None:
    """Prints the resident memory while a video of so many frames is streamed."""
    predictor, few = predictor_of(case), film(case, 50)
    frames = (few[i % len(few)] for i in range(length))
    begin, found = time.perf_counter(), predictor.run(frames)
    for done in range(0, length, max(1, length // 10)):
        count = sum(1 for _ in islice(found, max(1, length // 10)))
        gc.collect()
        lines = Path("/proc/self/status").read_text().splitlines()
        resident = next(int(x.split()[1]) for x in lines if x.startswith("VmRSS")) / 1024
        rate = (done + count) / (time.perf_counter() - begin)
        print(f"{done + count:6d} frames  {resident:8.0f} MB  {rate:.2f} frames/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=(512, 288), metavar=("W", "H"))
    parser.add_argument("--radius", type=int, default=15)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--warp-embedding", action="store_true")
    parser.add_argument("--chain", action="store_true")
    parser.add_argument("--flat", type=int)
    chosen = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} thread(s)")
    for name in chosen.only:
        case = {
            "model": name,
            "frames": chosen.frames,
            "size": tuple(chosen.size),
            "radius": chosen.radius,
            "precision": chosen.precision,
            "warp_embedding": chosen.warp_embedding,
            "chain": chosen.chain,
        }
        if chosen.flat:
            print(name)
            in_own_process(flat, case, chosen.flat)
            continue
        times = {w: statistics.median(in_own_process(seconds, case, w)) for w in WAYS}
        memory = {w: in_own_process(megabytes, case, w) for w in WAYS}
        rates = ", ".join(f"{w} {1 / t:.3f} frames/s {memory[w]:.0f} MB" for w, t in times.items())
        apart = ""
        if chosen.precision == "32":
            apart = f", apart {in_own_process(difference, case):.1e}"
        ratio = times["anew"] / times["streaming"]
        print(f"{name}: {rates}, streaming {ratio:.1f} times as fast{apart}", flush=True)


WAYS = ("anew", "streaming")

if __name__ == "__main__":
    main()
