"""Suppression and merging of tiles as SSPNet's code does them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from tinyscope.detectors.suppression import Decay, Suppression
from tinyscope.engine.merge import merge


def assert_decay_equals(case: Mapping[str, Tensor], settings: Mapping[str, str]) -> None:
    """What detectors keep of the boxes, with the scores that they decay to."""
    suppress = Suppression(
        nms=float(settings["iou_threshold"]),
        decay=cast(Decay, settings["method"]),
        floor=float(settings["min_score"]),
        limit=None,
    )
    boxes, scores = case["boxes"], case["scores"]
    found = suppress(boxes, scores, torch.zeros(len(boxes), dtype=torch.int64))
    torch.testing.assert_close(found.boxes, boxes[case["keep"].long()], rtol=0, atol=0)
    both = torch.cat([found.boxes, found.scores[:, None]], dim=1)
    torch.testing.assert_close(both, case["dets"], rtol=0, atol=1e-5)


def assert_files_merge_equal(case: Mapping[str, Any], folder: Path) -> None:
    """Files of tiles and of what was found in them, merged to a file of the whole images."""
    labels = sorted({row["category_id"] for row in case["detections"]})
    tiles = {
        "images": case["images"],
        "old_images": case["old_images"],
        "annotations": [],
        "categories": [{"id": label, "name": f"class {label}"} for label in labels],
    }
    (folder / "tiles.json").write_text(json.dumps(tiles))
    (folder / "found.json").write_text(json.dumps(case["detections"]))
    rule = {"name": "sspnet", "iou_threshold": case["nms_thr"]}
    merge(folder / "found.json", folder / "tiles.json", folder / "whole.json", rule)
    found = _by_image(json.loads((folder / "whole.json").read_text()))
    expected = _by_image(case["merged"])
    assert found.keys() == expected.keys()
    for image, rows in expected.items():
        np.testing.assert_allclose(found[image], rows, rtol=0, atol=1e-4, err_msg=str(image))


def _by_image(results: list[dict[str, Any]]) -> dict[int, list[list[float]]]:
    """Rows of box, score and class of every image, in the order of the file."""
    found: dict[int, list[list[float]]] = {}
    for row in results:
        columns = [*row["bbox"], row["score"], row["category_id"]]
        found.setdefault(row["image_id"], []).append(columns)
    return found
