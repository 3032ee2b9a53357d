"""Cutting a large image into tiles and merging what was found: SAHI, supervision and tinyscope.

The model does nothing but return 20 boxes per tile, so the time is that of the tiling alone:
cutting, handing tiles to the model, moving boxes and merging. Decoding the file is not part of
it. All run in one process, one after the other, several times; the least time counts. Memory is
what a run needs on top of the image.

    python benchmarks/tiling.py [--quick]
"""

import argparse
import contextlib
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tinyscope.engine.predictor import Predictor
from tinyscope.settings import PredictSettings
from tinyscope.tiling import MERGES
from tinyscope.types import Detections, Size

TILE, OVERLAP, PER_TILE = 640, 128, 20
BATCH = 4
CLASSES = ("a", "b")


def boxes_of_a_tile(number: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]:
    """Boxes of 4 to 32 px, scores and labels; equal for equal numbers."""
    rng = np.random.default_rng(number)
    sides = rng.uniform(4, 32, (PER_TILE, 2)).astype(np.float32)
    corners = rng.uniform(0, TILE - 33, (PER_TILE, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + sides], axis=1)
    scores = rng.uniform(0.3, 1, PER_TILE).astype(np.float32)
    return boxes, scores, rng.integers(0, len(CLASSES), PER_TILE)


PREPARED = [boxes_of_a_tile(number) for number in range(256)]


class Nothing(nn.Module):
    """Returns prepared boxes without looking at a pixel."""

    strides = (32,)

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.prepared = [
            Detections(torch.from_numpy(b), torch.from_numpy(s), torch.from_numpy(k))
            for b, s, k in PREPARED
        ]

    def forward(self, images: Tensor) -> Tensor:
        return images

    def decode(
        self, outputs: Tensor, sizes: list[Size], score_threshold: float | None = None
    ) -> list[Detections]:
        self.calls += len(sizes)
        first = self.calls
        return [self.prepared[(first + i) % len(PREPARED)] for i in range(len(sizes))]


def tinyscope(merge: str) -> Callable[[NDArray[np.uint8]], int]:
    settings = PredictSettings(
        tile=TILE, overlap=OVERLAP, batch=BATCH, merge={"name": merge}, limit=10**6
    )
    predictor = Predictor(Nothing(), CLASSES, settings)
    return lambda image: len(predictor(torch.from_numpy(image).permute(2, 0, 1)))


def supervision(threads: int) -> Callable[[NDArray[np.uint8]], int]:
    import supervision as sv

    calls = iter(range(10**9))

    def callback(tile: NDArray[np.uint8]) -> Any:
        boxes, scores, labels = PREPARED[next(calls) % len(PREPARED)]
        return sv.Detections(xyxy=boxes.copy(), confidence=scores, class_id=labels)

    slicer = sv.InferenceSlicer(
        callback, slice_wh=TILE, overlap_wh=OVERLAP, iou_threshold=0.5, thread_workers=threads
    )
    return lambda image: len(slicer(image))


def sahi(postprocess: str) -> Callable[[NDArray[np.uint8]], int]:
    from sahi.models.base import DetectionModel
    from sahi.predict import get_sliced_prediction
    from sahi.prediction import ObjectPrediction

    class Model(DetectionModel):
        calls = 0

        def load_model(self) -> None:
            self.model = self.perform_inference

        def perform_inference(self, image: NDArray[np.uint8]) -> None:
            self.calls += 1
            self._original_predictions = PREPARED[self.calls % len(PREPARED)]

        def _create_object_prediction_list_from_original_predictions(
            self, shift_amount_list: Any = None, full_shape_list: Any = None
        ) -> None:
            shift, shape = shift_amount_list, full_shape_list
            shift = shift[0] if shift and isinstance(shift[0], list) else shift
            shape = shape[0] if shape and isinstance(shape[0], list) else shape
            boxes, scores, labels = self._original_predictions
            self._object_prediction_list_per_image = [
                [
                    ObjectPrediction(
                        bbox=box,
                        category_id=label,
                        category_name=CLASSES[label],
                        score=score,
                        shift_amount=shift,
                        full_shape=shape,
                    )
                    for box, score, label in zip(
                        boxes.tolist(), scores.tolist(), labels.tolist(), strict=True
                    )
                ]
            ]

    model = Model(model_path="none", device="cpu")

    def run(image: NDArray[np.uint8]) -> int:
        result = get_sliced_prediction(
            image,
            model,
            slice_height=TILE,
            slice_width=TILE,
            overlap_height_ratio=OVERLAP / TILE,
            overlap_width_ratio=OVERLAP / TILE,
            perform_standard_pred=False,
            postprocess_type=postprocess,
            postprocess_match_metric="IOU",
            verbose=0,
        )
        return len(result.object_prediction_list)

    return run


def peak_of(run: Callable[[], object]) -> float:
    """MB of memory that a call needs beyond what the process holds; NaN where not Linux."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        run()
        return float("nan")

    def field(name: str) -> float:
        lines = status.read_text().splitlines()
        return float(next(line for line in lines if line.startswith(name)).split()[1]) / 1024

    reset.write_text("5")  # the peak becomes what is held now
    before = field("VmRSS")
    run()
    return field("VmHWM") - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="A smaller image, fewer runs.")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    width, height = (2560, 1440) if quick else (7680, 4320)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    megapixels = width * height / 1e6
    makers: dict[str, Callable[[], Callable[[NDArray[np.uint8]], int]]] = {
        "sahi, greedy merge": lambda: sahi("GREEDYNMM"),
        "sahi, nms": lambda: sahi("NMS"),
        "supervision, 1 thread": lambda: supervision(1),
        "supervision, 2 threads": lambda: supervision(2),
    }
    for merge in MERGES.names():
        makers[f"tinyscope, {merge}"] = lambda merge=merge: tinyscope(merge)
    runs = {}
    for name, make in makers.items():
        with contextlib.suppress(ImportError):
            runs[name] = make()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    found, memory = {}, {}
    for name, run in runs.items():
        run(image)
        memory[name] = peak_of(lambda run=run: run(image))
    for _ in range(3 if quick else 7):  # in turns: a busy moment strikes all alike
        for name, run in runs.items():
            start = time.perf_counter()
            found[name] = run(image)
            seconds[name].append(time.perf_counter() - start)
    own = min(seconds["tinyscope, nms"])
    print(
        f"{width} x {height} ({megapixels:.1f} MP), tiles of {TILE} px, overlap {OVERLAP} px, "
        f"{PER_TILE} boxes per tile, {torch.get_num_threads()} threads\n"
    )
    print("| | ms per MP | median | times tinyscope's nms | peak memory, MB | detections left |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, times in seconds.items():
        least, median = min(times), float(np.median(times))
        print(
            f"| {name} | {1000 * least / megapixels:.2f} | {1000 * median / megapixels:.2f} "
            f"| {least / own:.1f} | {memory[name]:.0f} | {found[name]} |"
        )


if __name__ == "__main__":
    main()
