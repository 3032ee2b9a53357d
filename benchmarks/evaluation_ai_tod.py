"""Scoring as much as AI-TOD's test set: 14,018 images of 800 px, 3000 detections in each.

Detections are written to a file and scored from it by the protocol `ai_tod`, in a process of its
own; shares of the images show that memory does not grow with them. With --peer pycocotools, which
has no optimal LRP, runs on the first share with the same sizes and limits.

    python benchmarks/evaluation_ai_tod.py [--shares 50 10 1] [--peer]
"""

import argparse
import contextlib
import io
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _measure import in_own_process
from numpy.typing import NDArray

IMAGES = 14_018
OBJECTS_PER_IMAGE = 25
DETECTIONS_PER_IMAGE = 3000
IMAGE = 800  # pixels
NAMES = ("airplane", "bridge", "storage-tank", "ship", "swimming-pool", "vehicle", "person", "mill")
SHARES = (0.002, 0.002, 0.02, 0.05, 0.001, 0.875, 0.048, 0.002)
"""About those of the objects of each class; detections that are no object have any class."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--shares", nargs="*", type=int, default=(50, 10, 1), help="One in so many images."
    )
    parser.add_argument("--peer", action="store_true", help="pycocotools on the first share.")
    arguments = parser.parse_args()
    print(
        f"{'evaluator':<14}{'images':>8}{'detections':>12}{'file MB':>9}{'read s':>8}{'score s':>9}"
        f"{'wall s':>8}{'peak MB':>9}"
    )
    for number, share in enumerate(arguments.shares):
        with tempfile.TemporaryDirectory() as temporary:
            folder, images = Path(temporary), IMAGES // share
            in_own_process(write_case, folder, images)
            report("tinyscope", run_tinyscope, folder, images)
            if arguments.peer and not number:
                report("pycocotools", run_pycocotools, folder, images)


def report(name: str, function: Callable[..., Any], folder: Path, images: int) -> None:
    """Runs an evaluator and prints its line."""
    read, score, wall, peak = in_own_process(function, folder)
    size = (folder / "found.json").stat().st_size / 1e6
    print(
        f"{name:<14}{images:>8}{images * DETECTIONS_PER_IMAGE:>12}{size:>9.0f}{read:>8.1f}"
        f"{score:>9.1f}{wall:>8.1f}{peak:>9.0f}",
        flush=True,
    )


def run_tinyscope(folder: Path) -> tuple[float, float, float, float]:
    """CPU seconds to read and to score, seconds that passed, peak memory in MB."""
    from tinyscope.evaluation.ai_tod import AiTodProtocol
    from tinyscope.formats.coco import read_annotations
    from tinyscope.formats.store import stored_detections

    wall, start = time.perf_counter(), time.process_time()
    truth = read_annotations(folder / "truth.json")
    with stored_detections(folder / "found.json", truth) as found:
        middle = time.process_time()
        result = AiTodProtocol()(truth, found)
    end = time.process_time()
    assert 0 < result["AP"] < 1
    assert 0 < result["oLRP"] < 1
    return middle - start, end - middle, time.perf_counter() - wall, _peak()


def run_pycocotools(folder: Path) -> tuple[float, float, float, float]:
    """The same."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    wall, start = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "truth.json"))
        found = truth.loadRes(str(folder / "found.json"))
        middle = time.process_time()
        scoring = COCOeval(truth, found, "bbox")
        areas = (0, 1e10), (0, 64), (64, 256), (256, 1024), (1024, 1e10)
        scoring.params.areaRng = [list(area) for area in areas]
        scoring.params.areaRngLbl = ["all", "verytiny", "tiny", "small", "medium"]
        scoring.params.maxDets = [1, 100, 1500]
        scoring.evaluate()
        scoring.accumulate()
    return middle - start, time.process_time() - middle, time.perf_counter() - wall, _peak()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_case(folder: Path, images: int, seed: int = 0) -> None:
    """Objects of 12 px on average, two detections near each, all others anywhere."""
    rng = np.random.default_rng(seed)
    objects: list[dict[str, Any]] = []
    with (folder / "found.json").open("w") as file:
        separator = "["
        for image in range(images):
            count = min(int(rng.gamma(0.5, 2 * OBJECTS_PER_IMAGE)), DETECTIONS_PER_IMAGE // 2)
            labels, boxes = rng.choice(len(NAMES), count, p=SHARES), _anywhere(rng, count)
            for label, box in zip(labels.tolist(), boxes.round(2).tolist(), strict=True):
                objects.append(_object(len(objects) + 1, image, label, box))
            near = np.repeat(np.arange(count), 2)
            jitter = rng.normal(0, 0.1, (len(near), 4)) * np.tile(boxes[near, 2:], 2)
            rest = DETECTIONS_PER_IMAGE - len(near)
            found = np.concatenate([boxes[near] + jitter, _anywhere(rng, rest)])
            found[:, 2:] = np.maximum(found[:, 2:], 1)
            columns = (
                np.concatenate([labels[near], rng.integers(len(NAMES), size=rest)]),
                *found.T,
                np.concatenate([rng.beta(3, 2, len(near)), rng.beta(1, 6, rest)]),
            )
            file.write(separator + ",\n".join(_texts(image, columns)))
            separator = ",\n"
        file.write("]\n")
    truth = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": IMAGE, "height": IMAGE}
            for i in range(images)
        ],
        "annotations": objects,
        "categories": [{"id": k, "name": name} for k, name in enumerate(NAMES)],
    }
    (folder / "truth.json").write_text(json.dumps(truth))


def _object(number: int, image: int, label: int, box: list[float]) -> dict[str, Any]:
    area = round(box[2] * box[3], 4)
    row = {"id": number, "image_id": image, "category_id": label, "bbox": box, "area": area}
    return {**row, "iscrowd": 0}


def _texts(image: int, columns: tuple[NDArray[Any], ...]) -> list[str]:
    row = f'{{"image_id":{image},"category_id":%d,"bbox":[%.2f,%.2f,%.2f,%.2f],"score":%.4f}}'
    return [row % values for values in zip(*(c.tolist() for c in columns), strict=True)]


def _anywhere(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    sides = np.clip(rng.lognormal(2.4, 0.45, (count, 2)), 2, 120)
    return np.concatenate([rng.random((count, 2)) * (IMAGE - sides), sides], axis=1)


if __name__ == "__main__":
    main()
