"""Scoring 750,000 detections: pycocotools, faster-coco-eval, hotcoco and tinyscope side by side.

Each evaluator runs in a process of its own, from the same two JSON files to the same arrays of
precision and recall; the table shows seconds, peak memory and ratios, and the run fails when an
evaluator's numbers differ from those of pycocotools.

    python benchmarks/evaluation.py [--quick] [--only tinyscope hotcoco ...]
"""

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVALUATORS = ("pycocotools", "faster-coco-eval", "hotcoco", "tinyscope")
SIDES = {"all": (0, 1e5), "2-8": (2, 8), "8-16": (8, 16), "16-32": (16, 32), "32+": (32, 1e5)}
LIMITS = (1, 100, 1500)
CLASSES = 8
IMAGE = 1024  # pixels
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Amount:
    """How much there is to score."""

    images: int = 500
    objects: int = 13_000
    detections: int = 750_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="A tenth of the amount.")
    parser.add_argument("--only", nargs="*", default=EVALUATORS, choices=EVALUATORS)
    parser.add_argument("--run", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    amount = Amount(50, 1_300, 75_000) if arguments.quick else Amount()
    if arguments.run:
        name, folder = arguments.run[0], Path(arguments.run[1])
        if name == "case":
            write_case(amount, folder)
        else:
            print(json.dumps(run(name, folder)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        compare(arguments.only, Path(temporary), amount)


def compare(names: tuple[str, ...], folder: Path, amount: Amount) -> None:
    """Runs the evaluators one after the other and prints the table."""
    print(
        f"{amount.images} images, {CLASSES} classes, {amount.objects} objects, "
        f"{amount.detections} detections, {len(SIDES)} sizes, limits {list(LIMITS)}, "
        "10 IoU thresholds"
    )
    # The case too: a child's peak is at least that of its parent, which thus has to stay small.
    _in_own_process("case", folder, amount)
    measured = {name: _in_own_process(name, folder, amount) for name in names}
    first = next(iter(measured))
    reference = np.load(folder / f"{first}.npz")
    print(
        f"{'evaluator':<18}{'read s':>8}{'score s':>9}{'total s':>9}{'peak MB':>9}"
        f"{'time / ' + first:>20}{'memory':>8}{'largest difference':>20}"
    )
    differences = {}
    for name, m in measured.items():
        arrays = np.load(folder / f"{name}.npz")
        differences[name] = max(float(np.abs(arrays[k] - reference[k]).max()) for k in reference)
        base = measured[first]
        total = m["read"] + m["score"]
        print(
            f"{name:<18}{m['read']:>8.2f}{m['score']:>9.2f}{total:>9.2f}{m['peak']:>9.0f}"
            f"{total / (base['read'] + base['score']):>20.4f}{m['peak'] / base['peak']:>8.2f}"
            f"{differences[name]:>20.1e}"
        )
    # Others may differ by design; ours may not.
    if differences.get("tinyscope", 0.0) > TOLERANCE:
        raise SystemExit(f"tinyscope differs from {first} by {differences['tinyscope']}")


def _in_own_process(name: str, folder: Path, amount: Amount) -> Any:
    quick = [] if amount == Amount() else ["--quick"]
    command = [sys.executable, __file__, *quick, "--run", name, str(folder)]
    print(f"  {name} ...", file=sys.stderr)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.stdout else None


def run(name: str, folder: Path) -> dict[str, float]:
    """One evaluator: seconds to read, seconds to score, peak memory in MB; arrays to a file."""
    truth, found = folder / "truth.json", folder / "found.json"
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = run_tinyscope if name == "tinyscope" else run_like_pycocotools(name)
        times, precision, recall = evaluator(truth, found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.savez(folder / f"{name}.npz", precision=precision, recall=recall)
    return {"read": times[1] - times[0], "score": times[2] - times[1], "peak": peak}


def run_tinyscope(truth: Path, found: Path) -> tuple[list[float], Any, Any]:
    from tinyscope.evaluation import evaluate
    from tinyscope.formats.coco import read_annotations, read_detections

    times = [time.perf_counter()]
    annotations = read_annotations(truth)
    detections = read_detections(found, annotations)
    times.append(time.perf_counter())
    protocol = {"name": "coco", "sizes": SIDES, "measure": "side", "limits": LIMITS}
    result = evaluate(annotations, detections, protocol)
    assert result.table
    times.append(time.perf_counter())
    return times, result.scores.precision, result.scores.recall


def run_like_pycocotools(name: str) -> Any:
    """The three others share one interface."""
    if name == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    elif name == "faster-coco-eval":
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval
    else:
        from hotcoco import COCO, COCOeval

    def evaluator(truth: Path, found: Path) -> tuple[list[float], Any, Any]:
        times = [time.perf_counter()]
        annotations = COCO(str(truth))
        detections = annotations.loadRes(str(found))
        times.append(time.perf_counter())
        scoring = COCOeval(annotations, detections, "bbox")
        scoring.params.areaRng = [[low**2, high**2] for low, high in SIDES.values()]
        scoring.params.areaRngLbl = list(SIDES)
        scoring.params.maxDets = list(LIMITS)
        scoring.evaluate()
        scoring.accumulate()
        times.append(time.perf_counter())
        return times, np.asarray(scoring.eval["precision"]), np.asarray(scoring.eval["recall"])

    return evaluator


def write_case(amount: Amount, folder: Path, seed: int = 0) -> None:
    """Objects of 2 to 64 px, half a dozen detections near each, all other ones anywhere."""
    rng = np.random.default_rng(seed)
    n, d = amount.objects, amount.detections
    images = rng.integers(amount.images, size=n)
    labels = rng.integers(CLASSES, size=n)
    sides = _sides(rng, n)
    corners = rng.random((n, 2)) * (IMAGE - sides)
    boxes = np.concatenate([corners, sides], axis=1).round(2)

    near = rng.permutation(np.repeat(np.arange(n), 6))[: d // 2]
    jitter = rng.normal(0, 0.12, (len(near), 4)) * np.tile(sides[near], 2)
    around = boxes[near] + jitter
    around[:, 2:] = np.maximum(around[:, 2:], 1)
    rest = d - len(near)
    far_sides = _sides(rng, rest)
    far = np.concatenate([rng.random((rest, 2)) * (IMAGE - far_sides), far_sides], axis=1)
    detections = {
        "image_id": np.concatenate([images[near], rng.integers(amount.images, size=rest)]) + 1,
        "category_id": np.concatenate([labels[near], rng.integers(CLASSES, size=rest)]) + 1,
        "bbox": np.concatenate([around, far]).round(2),
        "score": np.concatenate([rng.beta(3, 2, len(near)), rng.beta(1, 4, rest)]).round(4),
    }
    objects = {
        "id": np.arange(1, n + 1),
        "image_id": images + 1,
        "category_id": labels + 1,
        "bbox": boxes,
        "area": boxes[:, 2] * boxes[:, 3],
        "iscrowd": (rng.random(n) < 0.02).astype(int),
    }
    pictures = {"id": np.arange(1, amount.images + 1)}
    truth = {
        "images": [
            {**row, "file_name": f"{row['id']}.png", "width": IMAGE, "height": IMAGE}
            for row in _rows(pictures)
        ],
        "categories": [{"id": k + 1, "name": f"class {k}"} for k in range(CLASSES)],
        "annotations": _rows(objects),
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(_rows(detections, rng.permutation(d))))


def _sides(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    side = np.exp(rng.uniform(np.log(2), np.log(64), count))
    return side[:, None] * np.exp(rng.normal(0, 0.15, (count, 2)))


def _rows(
    columns: dict[str, NDArray[Any]], order: NDArray[np.int64] | None = None
) -> list[dict[str, Any]]:
    values = (c if order is None else c[order] for c in columns.values())
    rows = zip(*(c.tolist() for c in values), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


if __name__ == "__main__":
    main()
