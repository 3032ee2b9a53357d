"""Detections of tiles merged by published code, compared with ours."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyscope.detectors.looks import Look
from tinyscope.detectors.proposals import across_levels
from tinyscope.engine.predictor import Predictor
from tinyscope.ops.suppress import nms_per_class
from tinyscope.settings import PredictSettings
from tinyscope.tiling import MERGES
from tinyscope.tiling.found import in_image
from tinyscope.types import Detections, Size

PUBLISHED = {"tinybenchmark": "tinybenchmark", "sspnet": "sspnet", "bh_merge": "bottom_heavy"}
"""Our rules by the names of the fixture."""

SCORE, IOU = {"fcos": 0.05, "two_stage": 0.05}, {"fcos": 0.6, "two_stage": 0.5}
"""Settings of the published detectors, which the fixture's README states."""

LIMIT = 1000


def assert_files_merge_equal(case: Any) -> None:
    """Every variant of the file: its rule, threshold and least score stand in its key."""
    position = {name: i for i, name in enumerate(case["columns"].split(","))}
    rows = np.array(case["detections"], dtype=np.float64).reshape(-1, len(position))
    for variant, expected in case["merged"].items():
        rule = MERGES.build(_rule(variant))
        merged: list[list[float]] = []
        for image in case["whole_images"]:
            tiles = [t for t in case["corner_images"] if t["file_name"] == image["file_name"]]
            size = (image["height"], image["width"])
            found = rule(in_image(*_of_tiles(tiles, rows, position), size))
            x1, y1, x2, y2 = found.boxes.double().unbind(dim=1)
            columns = torch.stack([x1, y1, x2 - x1, y2 - y1, found.scores.double()], dim=1)
            merged += [[image["id"], *row] for row in columns.tolist()]
        assert len(merged) == len(expected), variant
        np.testing.assert_allclose(merged, expected, rtol=0, atol=1e-3, err_msg=variant)


def assert_tiles_merge_equal(case: Mapping[str, Tensor]) -> None:
    """A detector that finds what the file says, run on tiles by the run-time settings."""
    names = {key.rpartition(".")[0] for key in case if key.endswith(".dets")}
    offsets = case["tile_offsets"].long()
    tiles = [
        {key: case[f"tile{i}.{key}"] for key in ("boxes", "scores", "centerness")}
        for i in range(len(offsets))
    ]
    for number, tile in enumerate(tiles):
        alone = _suppressed(tile["boxes"], tile["scores"])
        torch.testing.assert_close(_columns(alone), case[f"tile{number}.after_tile_nms"])
    height, width = (offsets[:, 1].max() + 512, offsets[:, 0].max() + 640)
    image = torch.zeros(3, int(height), int(width), dtype=torch.uint8)
    for name in names:
        kind, _, limit = name.partition("_max")
        settings = PredictSettings.model_validate(
            {
                "tile": (512, 640),
                "overlap": 100,
                "tiling": "runtime",
                "limit": int(limit or LIMIT),
                "merge": {
                    "name": "pooled_nms",
                    "iou_threshold": IOU[kind],
                    "undecided": kind == "fcos",
                },
            }
        )
        finder = {"fcos": _OneStage, "two_stage": _TwoStage}[kind](tiles)
        found = Predictor(finder, ("person",), settings)(image)
        assert finder.done == len(tiles)
        torch.testing.assert_close(_columns(found), case[f"{name}.dets"], rtol=0, atol=1e-4)


def assert_proposals_merge_equal(case: Mapping[str, Tensor], iou_threshold: float = 0.7) -> None:
    """The proposals of one tile after a second suppression."""
    boxes, scores = case["proposals"][:, :4], case["proposals"][:, 4]
    kept = across_levels(boxes, scores, iou_threshold)
    torch.testing.assert_close(case["proposals"][kept], case["merged"], rtol=0, atol=1e-4)


class _OneStage(nn.Module):
    """Finds in each tile what the file says, before any suppression."""

    strides = (32,)

    def __init__(self, tiles: Sequence[Mapping[str, Tensor]]) -> None:
        super().__init__()
        self.tiles, self.done = tiles, 0

    def forward(self, images: Tensor) -> Tensor:
        return images

    def decode_undecided(
        self,
        looks: Iterable[Look[Tensor]],
        sizes: Sequence[Size],
        score_threshold: float | None = None,
    ) -> list[Detections]:
        assert len(list(looks)) == 1
        return self._next(len(sizes))

    def _next(self, count: int) -> list[Detections]:
        start, self.done = self.done, self.done + count
        return [self._found(tile) for tile in self.tiles[start : self.done]]

    def _found(self, tile: Mapping[str, Tensor]) -> Detections:
        good = tile["scores"] > SCORE["fcos"]  # of the class alone; the center-ness comes after
        scores = (tile["scores"] * tile["centerness"])[good]
        return Detections(tile["boxes"][good], scores, torch.zeros(len(scores), dtype=torch.int64))


class _TwoStage(_OneStage):
    """Decides about each tile itself, as a second stage does."""

    def decode(
        self, outputs: Tensor, sizes: Sequence[Size], score_threshold: float | None = None
    ) -> list[Detections]:
        return self._next(len(sizes))

    def _found(self, tile: Mapping[str, Tensor]) -> Detections:
        return _suppressed(tile["boxes"], tile["scores"])


def _suppressed(boxes: Tensor, scores: Tensor) -> Detections:
    good = scores > SCORE["two_stage"]
    boxes, scores = boxes[good], scores[good]
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    kept = nms_per_class(boxes, scores, labels, IOU["two_stage"], LIMIT)
    return Detections(boxes[kept], scores[kept], labels[kept])


def _columns(found: Detections) -> Tensor:
    return torch.cat([found.boxes, found.scores[:, None]], dim=1)


def _rule(variant: str) -> dict[str, Any]:
    """The rule that a name such as sspnet_nms0.5 says; no_nms is a threshold of 1."""
    name = next(ours for theirs, ours in PUBLISHED.items() if variant.startswith(theirs))
    threshold = re.search(r"_nms([\d.]+)", variant)
    options: dict[str, Any] = {"name": name, "iou_threshold": 1.0}
    if threshold:
        options["iou_threshold"] = float(threshold[1])
    if score := re.search(r"_score([\d.]+)", variant):
        options["score_above"] = float(score[1])
    return options


def _of_tiles(
    tiles: Sequence[Mapping[str, Any]], rows: np.ndarray, position: Mapping[str, int]
) -> tuple[Tensor, list[Detections]]:
    """Windows of the tiles of one image, and what was found in each."""
    found = []
    for tile in tiles:
        of_tile = torch.from_numpy(rows[rows[:, position["image_id"]] == tile["id"]])
        x, y, w, h = (of_tile[:, position[key]] for key in "xywh")
        boxes = torch.stack([x, y, x + w, y + h], dim=1)
        labels = torch.zeros(len(boxes), dtype=torch.int64)
        found.append(Detections(boxes, of_tile[:, position["score"]], labels))
    corners = torch.tensor([tile["corner"] for tile in tiles], dtype=torch.int64).reshape(-1, 4)
    return corners, found
