"""Images per second and memory of the training pipeline, from files to padded batches.

Each row runs in a process of its own over files that the system has cached, with the images
decoded for every sample (`fresh`) or kept decoded by the workers (`kept`). The rate is that of
the batches after the first ones; the peak is that of this process and of its largest worker,
with the libraries that both have loaded.

    python benchmarks/loading.py [--workers 2] [--seconds 8]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tinyscope.data import TRANSFORMS, WINDOWS
from tinyscope.data.batches import TrainingSet, loader
from tinyscope.data.images import ImageCache
from tinyscope.data.synthetic import NAMES, picture
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import Annotations
from tinyscope.settings import load_recipe

IMAGES, HEIGHT, WIDTH, BATCH = 32, 512, 640, 8
FLIP, TURN, LIGHT = {"name": "flip"}, {"name": "turn"}, {"name": "photometric"}
WHOLE = {"name": "whole"}
ENLARGED = {"name": "random", "size": 512, "scale": [1.0, 2.0]}

Pipeline = tuple[str, dict[str, Any], list[dict[str, Any]]]


def pipelines() -> dict[str, Pipeline]:
    """File ending, windows and transforms by name."""
    demo = load_recipe("quick/demo").data
    return {
        "read alone, PNG": ("png", WHOLE, []),
        "read alone, JPEG": ("jpg", WHOLE, []),
        "flip + photometric, PNG": ("png", WHOLE, [FLIP, LIGHT]),
        "flip + photometric, JPEG": ("jpg", WHOLE, [FLIP, LIGHT]),
        "enlarged windows of 512, turns": ("png", ENLARGED, [FLIP, TURN, LIGHT]),
        "recipe quick/demo": ("png", dict(demo.windows), [dict(t) for t in demo.transforms]),
    }


def write_images(folder: Path) -> None:
    """Pictures of 640 x 512 as PNG and as JPEG, and their boxes."""
    for number in range(IMAGES):
        # Pictures vary by a quarter in size, so that this is the part that all of them have.
        made = picture(0, "train", number, (HEIGHT * 7 // 5, WIDTH * 7 // 5))
        image = Image.fromarray(made.image[:HEIGHT, :WIDTH])
        image.save(folder / f"{number}.png")
        image.save(folder / f"{number}.jpg", quality=90)
        inside = (made.boxes[:, 2:] <= (WIDTH, HEIGHT)).all(axis=1)
        np.savez(
            folder / f"{number}.npz",
            boxes=made.boxes[inside],
            labels=made.labels[inside],
            ignore=made.ignore[inside],
        )


def read_columns(folder: Path, ending: str) -> Annotations:
    parts = [dict(np.load(folder / f"{number}.npz")) for number in range(IMAGES)]
    boxes, labels, ignore = (
        np.concatenate([p[k] for p in parts]) for k in ("boxes", "labels", "ignore")
    )
    return assemble(
        folder,
        NAMES,
        [f"{number}.{ending}" for number in range(IMAGES)],
        np.full((IMAGES, 2), (HEIGHT, WIDTH), dtype=np.int32),
        [len(p["boxes"]) for p in parts],
        boxes,
        labels,
        ignore,
    )


def measure(folder: Path, name: str, keep: bool, workers: int, seconds: float) -> dict[str, float]:
    """Images per second and peak memory in MB of one pipeline."""
    ending, windows, transforms = pipelines()[name]
    samples = TrainingSet(
        read_columns(folder, ending),
        WINDOWS.build(windows),
        [TRANSFORMS.build(t) for t in transforms],
        read=ImageCache() if keep else ImageCache(limit_bytes=0),
    )
    ahead = 4
    batches = iter(loader(samples, BATCH, workers, steps=1_000_000, prefetch=ahead))
    for _ in range(max(2 * ahead * workers, IMAGES // BATCH)):
        next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        next(batches)
        count += BATCH
    rate = count / (time.perf_counter() - start)
    del batches  # the workers end, and with that their memory is known
    main, worker = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {"rate": rate, "main": main, "worker": worker}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0, help="Measured per row.")
    parser.add_argument(
        "--run", nargs=3, metavar=("FOLDER", "NAME", "KEEP"), help=argparse.SUPPRESS
    )
    given = parser.parse_args()
    if given.run:
        folder, name, keep = given.run
        result = measure(Path(folder), name, keep == "kept", given.workers, given.seconds)
        print(json.dumps(result))
        return
    with tempfile.TemporaryDirectory() as temporary:
        write_images(Path(temporary))
        print(f"{IMAGES} images of {WIDTH} x {HEIGHT}, batch {BATCH}, {given.workers} workers\n")
        print("| pipeline | images | images/s | peak MB, this process | peak MB, a worker |")
        print("|---|---|---|---|---|")
        for name in pipelines():
            for keep in ("fresh", "kept"):
                print(row(temporary, name, keep, given.workers, given.seconds), flush=True)


def row(folder: str, name: str, keep: str, workers: int, seconds: float) -> str:
    command = [sys.executable, __file__, "--run", folder, name, keep]
    command += ["--workers", str(workers), "--seconds", str(seconds)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    numbers = f"{found['rate']:.0f} | {found['main']:.0f} | {found['worker']:.0f}"
    return f"| {name} | {keep} | {numbers} |"


if __name__ == "__main__":
    main()
