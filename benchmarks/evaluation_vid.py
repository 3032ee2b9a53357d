"""Scoring as much as ImageNet VID's validation videos: 176,126 frames, up to 100 detections each.

The protocol `vid`, with motion from tracks and groups by it, scores simulated detections from a
file, in a process of its own; shares of the frames show that memory does not grow with the
detections. With --peer plain loops score the first share, which have to give the same numbers.

    python benchmarks/evaluation_vid.py [--shares 50 10 1] [--peer]
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _measure import in_own_process
from numpy.typing import NDArray

FRAMES, FRAMES_PER_VIDEO = 176_126, 317
CLASSES, TRACKS_PER_VIDEO, MOST_DETECTIONS = 30, 3, 100
WIDTH, HEIGHT = 1280, 720  # pixels
LOOPS = Path(__file__).parents[1] / "tests" / "unit" / "evaluation"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--shares", nargs="*", type=int, default=(50, 10, 1), help="One in so many frames."
    )
    parser.add_argument("--peer", action="store_true", help="Plain loops on the first share.")
    arguments = parser.parse_args()
    print(
        f"{'evaluator':<14}{'frames':>8}{'detections':>12}{'read s':>8}{'score s':>9}{'wall s':>8}"
        f"{'peak MB':>9}"
    )
    for number, share in enumerate(arguments.shares):
        with tempfile.TemporaryDirectory() as temporary:
            folder, frames = Path(temporary), FRAMES // share
            count = in_own_process(write_case, folder, frames)
            ours = report("tinyscope", run_tinyscope, folder, frames, count)
            if arguments.peer and not number:
                theirs = report("plain loops", run_loops, folder, frames, count)
                difference = float(np.abs(ours - theirs).max())
                print(f"largest difference {difference:.1e}")
                if difference > 1e-9:
                    raise SystemExit("the numbers differ")


def report(
    name: str, function: Callable[..., Any], folder: Path, frames: int, count: int
) -> NDArray[np.float64]:
    """Runs an evaluator, prints its line, and gives its average precisions."""
    (read, score, wall, peak), averages = in_own_process(function, folder)
    print(
        f"{name:<14}{frames:>8}{count:>12}{read:>8.1f}{score:>9.1f}{wall:>8.1f}{peak:>9.0f}",
        flush=True,
    )
    return np.array(averages)


def run_tinyscope(folder: Path) -> tuple[tuple[float, ...], list[Any]]:
    """CPU seconds to read and to score, seconds that passed, peak memory in MB; the numbers."""
    from tinyscope.evaluation.vid import VidProtocol
    from tinyscope.formats.coco import read_annotations
    from tinyscope.formats.store import stored_detections

    wall, start = time.perf_counter(), time.process_time()
    truth = read_annotations(folder / "truth.json")
    with stored_detections(folder / "found.json", truth) as found:
        middle = time.process_time()
        result = VidProtocol()(truth, found)
    end = time.process_time()
    assert 0 < result["AP50_fast"] < 1
    averages = result.scores.averages
    assert averages is not None
    spent = middle - start, end - middle, time.perf_counter() - wall, _peak()
    return spent, averages[0, :, :, 0].T.tolist()


def run_loops(folder: Path) -> tuple[tuple[float, ...], list[Any]]:
    """The same; motion is that of ours, as the published evaluation reads it from a file."""
    sys.path.insert(0, str(LOOPS))
    from plain_vid import plain_averages

    from tinyscope.evaluation.motion import motion_ious
    from tinyscope.evaluation.vid import MOTIONS
    from tinyscope.formats.coco import read_annotations, read_detections

    wall, start = time.perf_counter(), time.process_time()
    truth = read_annotations(folder / "truth.json")
    found = read_detections(folder / "found.json", truth)
    motion = np.nan_to_num(motion_ious(truth, 10, 1.0), nan=0.0)
    middle = time.process_time()
    averages = plain_averages(truth, found, motion, tuple(MOTIONS.values()))
    end = time.process_time()
    spent = middle - start, end - middle, time.perf_counter() - wall, _peak()
    return spent, averages.tolist()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_case(folder: Path, frames: int, seed: int = 0) -> int:
    """Videos with a few moving objects each, a detection or two near each of them in a frame, all
    others anywhere; how many detections there are."""
    rng = np.random.default_rng(seed)
    videos = -(-frames // FRAMES_PER_VIDEO)
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    total = 0
    with (folder / "found.json").open("w") as file:
        separator = "["
        for video in range(videos):
            labels = rng.integers(CLASSES, size=TRACKS_PER_VIDEO)
            boxes = _anywhere(rng, TRACKS_PER_VIDEO)
            speed = rng.choice([0.1, 1.5, 8.0], (TRACKS_PER_VIDEO, 1)) * rng.normal(
                size=(TRACKS_PER_VIDEO, 2)
            )
            for frame in range(min(FRAMES_PER_VIDEO, frames - len(images))):
                image = len(images) + 1
                images.append(_image(image, video + 1, frame))
                boxes[:, :2] = np.clip(boxes[:, :2] + speed, 0, (WIDTH / 2, HEIGHT / 2))
                for track in np.flatnonzero(rng.random(TRACKS_PER_VIDEO) < 0.6).tolist():
                    number = len(objects) + 1
                    objects.append(
                        _object(number, image, video, track, int(labels[track]), boxes[track])
                    )
                count = int(rng.integers(2 * TRACKS_PER_VIDEO, MOST_DETECTIONS + 1))
                columns = _detections(rng, count, labels, boxes)
                file.write(separator + ",\n".join(_texts(image, columns)))
                separator = ",\n"
                total += count
        file.write("]\n")
    truth = {
        "videos": [{"id": v + 1, "name": f"video {v}"} for v in range(videos)],
        "images": images,
        "annotations": objects,
        "categories": [{"id": k + 1, "name": f"class {k}"} for k in range(CLASSES)],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    return total


def _image(image: int, video: int, frame: int) -> dict[str, Any]:
    size = {"width": WIDTH, "height": HEIGHT}
    return {
        "id": image,
        "file_name": f"{image}.jpg",
        "video_id": video,
        "frame_id": frame,
        **size,
    }


def _object(
    number: int, image: int, video: int, track: int, label: int, box: NDArray[np.float64]
) -> dict[str, Any]:
    stated = box.round(2).tolist()
    return {
        "id": number,
        "image_id": image,
        "category_id": label + 1,
        "bbox": stated,
        "area": round(stated[2] * stated[3], 4),
        "iscrowd": 0,
        "instance_id": TRACKS_PER_VIDEO * video + track + 1,
    }


def _detections(
    rng: np.random.Generator, count: int, labels: NDArray[np.int64], boxes: NDArray[np.float64]
) -> tuple[NDArray[Any], ...]:
    """Class, x, y, width, height and score."""
    near = np.repeat(np.arange(len(boxes)), 2)
    around = boxes[near] + rng.normal(0, 0.1, (len(near), 4)) * np.tile(boxes[near, 2:], 2)
    rest = count - len(near)
    every = np.concatenate([around, _anywhere(rng, rest)])
    every[:, 2:] = np.maximum(every[:, 2:], 1)
    classes = np.concatenate([labels[near], rng.integers(CLASSES, size=rest)]) + 1
    scores = np.concatenate([rng.beta(3, 2, len(near)), rng.beta(1, 6, rest)])
    return classes, *every.T, scores


def _texts(image: int, columns: tuple[NDArray[Any], ...]) -> list[str]:
    row = f'{{"image_id":{image},"category_id":%d,"bbox":[%.2f,%.2f,%.2f,%.2f],"score":%.4f}}'
    return [row % values for values in zip(*(c.tolist() for c in columns), strict=True)]


def _anywhere(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    sides = np.clip(rng.lognormal(4.5, 0.8, (count, 2)), 8, 600)
    return np.concatenate([rng.random((count, 2)) * (WIDTH / 2, HEIGHT / 2), sides], axis=1)


if __name__ == "__main__":
    main()
