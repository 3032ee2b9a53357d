"""Scoring as much as TinyPerson's test set: the protocol of persons beside pycocotools.

816 images, 20,000 objects, 200 detections per image; every evaluator in a process of its own, from
files. pycocotools, which knows neither ignored regions nor miss rates, runs with its own ten
thresholds and four sizes and with the three and seven of the protocol.

    python benchmarks/persons.py [--quick]
"""

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _measure import in_own_process

IMAGES = 816
OBJECTS_PER_IMAGE = 24.5
DETECTIONS_PER_IMAGE = 200
THRESHOLDS = [0.25, 0.5, 0.75]
SIDES = [(1, 1e5), (1, 20), (1, 8), (8, 12), (12, 20), (20, 32), (32, 1e5)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="A tenth of the amount.")
    images = IMAGES // 10 if parser.parse_args().quick else IMAGES
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        in_own_process(write_case, folder, images)
        print(
            f"{images} images, {round(images * OBJECTS_PER_IMAGE)} objects, "
            f"{images * DETECTIONS_PER_IMAGE} detections; CPU seconds"
        )
        print(f"{'evaluator':<48}{'read':>8}{'score':>8}")
        for name, function, options in RUNS:
            try:
                read, score = in_own_process(function, folder, *options)
            except RuntimeError:
                print(f"{name:<48}  did not run; is it installed?")
                continue
            print(f"{name:<48}{read:>8.2f}{score:>8.2f}")


def run_tinyscope(folder: Path, miss_rates: bool) -> tuple[float, float]:
    """CPU seconds to read and to score."""
    from tinyscope.evaluation import evaluate
    from tinyscope.formats.coco import read_annotations, read_detections

    start = time.process_time()
    truth = read_annotations(folder / "truth.json")
    found = read_detections(folder / "found.json", truth)
    middle = time.process_time()
    result = evaluate(truth, found, {"name": "tinyperson", "miss_rates": miss_rates})
    assert 0 < result["AP50_tiny"] < 1
    return middle - start, time.process_time() - middle


def run_pycocotools(folder: Path, as_protocol: bool) -> tuple[float, float]:
    """CPU seconds to read and to score."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "truth.json"))
        found = truth.loadRes(str(folder / "found.json"))
        middle = time.process_time()
        scoring = COCOeval(truth, found, "bbox")
        if as_protocol:
            scoring.params.iouThrs = np.array(THRESHOLDS)
            scoring.params.areaRng = [[low**2, high**2] for low, high in SIDES]
            scoring.params.areaRngLbl = list(map(str, SIDES))
        scoring.params.maxDets = [DETECTIONS_PER_IMAGE]
        scoring.evaluate()
        scoring.accumulate()
    return middle - start, time.process_time() - middle


RUNS: list[tuple[str, Callable[..., tuple[float, float]], tuple[bool]]] = [
    ("pycocotools, 10 thresholds, 4 sizes", run_pycocotools, (False,)),
    ("pycocotools, 3 thresholds, 7 sizes", run_pycocotools, (True,)),
    ("tinyscope, precision", run_tinyscope, (False,)),
    ("tinyscope, precision and miss rates", run_tinyscope, (True,)),
]


def write_case(folder: Path, images: int, seed: int = 0) -> None:
    """Persons of 2 to 40 px, one in ten ignored; two detections near each, all others anywhere."""
    rng = np.random.default_rng(seed)
    count, total = round(images * OBJECTS_PER_IMAGE), images * DETECTIONS_PER_IMAGE
    image, boxes = rng.integers(images, size=count), _anywhere(rng, count)
    ignore, near = rng.random(count) < 0.1, np.repeat(np.arange(count), 2)
    around = boxes[near] + rng.normal(0, 0.08, (len(near), 4)) * np.tile(boxes[near, 2:], 2)
    found = np.concatenate([around, _anywhere(rng, total - len(near))]).round(2)
    scores = np.concatenate([rng.beta(3, 2, len(near)), rng.beta(1, 4, total - len(near))])
    where = np.concatenate([image[near], rng.integers(images, size=total - len(near))])
    pictures = [{"id": i, "file_name": f"{i}.jpg"} for i in range(images)]
    objects: list[dict[str, Any]] = [
        {
            **{"id": i, "image_id": a, "category_id": 1, "bbox": box, "area": box[2] * box[3]},
            **{"iscrowd": 0, "ignore": bool(out), "uncertain": False},
        }
        for i, (a, box, out) in enumerate(
            zip(image.tolist(), boxes.tolist(), ignore.tolist(), strict=True)
        )
    ]
    results = [
        {"image_id": a, "category_id": 1, "bbox": box, "score": score}
        for a, box, score in zip(where.tolist(), found.tolist(), scores.tolist(), strict=True)
    ]
    truth = {
        "images": pictures,
        "annotations": objects,
        "categories": [{"id": 1, "name": "person"}],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(results))


def _anywhere(rng: np.random.Generator, count: int) -> Any:
    corners = rng.random((count, 2)) * (1920, 1080)
    sides = np.exp(rng.uniform(np.log(2), np.log(40), (count, 2)))
    return np.concatenate([corners, sides], axis=1).round(2)


if __name__ == "__main__":
    main()
