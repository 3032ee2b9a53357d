"""Numbers of COCO and of the official evaluation of ImageNet VID, against the published ones."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinyscope.evaluation import Result, evaluate
from tinyscope.evaluation.coco import published_figures
from tinyscope.evaluation.vid import MOTIONS
from tinyscope.formats.coco import read_annotations, read_detections
from tinyscope.formats.tables import Annotations, DetectionTable

TOLERANCE = 1e-9
RECALL = "AR@"
"""Names of recalls over all sizes end in the limits that the published evaluation has."""
OURS = {
    "mAP": "AP",
    "mAP_50": "AP50",
    "mAP_75": "AP75",
    "mAP_s": "AP_small",
    "mAP_m": "AP_medium",
    "mAP_l": "AP_large",
    "AR_s": "AR_small",
    "AR_m": "AR_medium",
    "AR_l": "AR_large",
}


def assert_coco_scores(case: Mapping[str, Any], folder: Path) -> None:
    """The numbers of COCO's evaluation, and how they are rounded, through files."""
    expected = case["coco_eval"]
    truth = written_truth(case, folder)
    found = [
        {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "bbox": _stated(row["box_xyxy"]),
            "score": row["score"],
        }
        for row in case["detections"]
    ]
    (folder / "found.json").write_text(json.dumps(found))
    detections = read_detections(folder / "found.json", truth)
    names = expected["stats_order"]
    limits = [int(name.removeprefix(RECALL)) for name in names if name.startswith(RECALL)]
    figures = published_figures(evaluate(truth, detections, {"name": "coco", "limits": limits}))
    for name, value in zip(names, expected["stats"], strict=True):
        ours = figures[OURS.get(name.partition("@")[0], name)]
        np.testing.assert_allclose(ours, value, rtol=0, atol=TOLERANCE, err_msg=name)
    for name, value in expected["rounded"].items():
        assert round(figures[OURS[name.removeprefix("bbox_")]], 3) == value, name


def assert_official_scores(case: Mapping[str, Any], folder: Path) -> None:
    """Average precision by class and range of motion."""
    expected = case["official_eval"]
    truth = written_truth(case, folder)
    ranges = {_name(low, high): (low, high) for low, high in expected["ranges"]}
    found = detections_of(case, truth)
    result = evaluate(truth, found, {"name": "vid", "motions": ranges})
    assert result.sizes == tuple(ranges)
    averages = result.scores.averages[0, :, :, 0].T  # (a, k)
    np.testing.assert_allclose(averages, expected["ap"], atol=TOLERANCE)
    means = [result.per_size[name]["AP50"] for name in ranges]
    np.testing.assert_allclose(means, expected["mean"], atol=TOLERANCE)
    assert_plain(evaluate(truth, found, {"name": "vid", "motions": {"all": [0, 1]}}), expected)


def assert_plain(result: Result, expected: Mapping[str, Any]) -> None:
    for name, value in expected["plain_ap"].items():
        np.testing.assert_allclose(result.per_class[name]["AP50"], value, atol=TOLERANCE)


def written_truth(case: Mapping[str, Any], folder: Path) -> Annotations:
    """The validation frames, each object with the motion that the fixture has for it."""
    content = json.loads(json.dumps(case["imagenet_vid_val.json"]))
    order = {image["id"]: place for place, image in enumerate(content["images"])}
    motion = [iter(values) for values in case["motion_iou"]]
    for row in content["annotations"]:
        row["motion_iou"] = next(motion[order[row["image_id"]]])
    assert not [value for values in motion for value in values]
    (folder / "truth.json").write_text(json.dumps(content))
    return read_annotations(folder / "truth.json")


def detections_of(case: Mapping[str, Any], truth: Annotations) -> DetectionTable:
    """The detections as they stand, not through width and height."""
    rows = case["detections"]
    images = {int(number): place for place, number in enumerate(truth.image_ids)}
    labels = {number: label for label, number in enumerate(truth.category_ids)}
    return DetectionTable(
        images=np.array([images[row["image_id"]] for row in rows], dtype=np.int64),
        boxes=np.array([row["box_xyxy"] for row in rows], dtype=np.float64).reshape(-1, 4),
        scores=np.array([row["score"] for row in rows], dtype=np.float64),
        labels=np.array([labels[row["category_id"]] for row in rows], dtype=np.int64),
    )


def _stated(box: list[float]) -> list[float]:
    x, y, right, bottom = box
    return [x, y, right - x, bottom - y]


def _name(low: float, high: float) -> str:
    """Ours of a published range, its numbers for another one."""
    return next((name for name, own in MOTIONS.items() if own == (low, high)), f"{low}-{high}")
