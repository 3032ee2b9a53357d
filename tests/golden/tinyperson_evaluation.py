"""The protocols of persons against the published evaluators."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinyscope.evaluation import Result, evaluate
from tinyscope.evaluation.pairing import regular_first
from tinyscope.evaluation.result import threshold_name
from tinyscope.evaluation.tinyperson import TinyPersonProtocol, published_lines
from tinyscope.formats.coco import read_annotations, read_detections
from tinyscope.formats.tables import Annotations, DetectionTable

TOLERANCE = 1e-9
OF_RATES = 1e-6  # per cent


def read(case: Mapping[str, Any], folder: Path) -> tuple[Annotations, DetectionTable]:
    """Truth and detections of a case, through files."""
    (folder / "truth.json").write_text(json.dumps(case["gt"]))
    (folder / "found.json").write_text(json.dumps(case["dt"]))
    truth = read_annotations(folder / "truth.json")
    return truth, read_detections(folder / "found.json", truth)


def options(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Our options for a published setting, as the file describes it."""
    kept = "threshold" if setting["f"] == "lambda iou: iou" else "raised"
    return {
        "limits": tuple(setting["maxDets"]),
        "ignored_by_cover": kept if setting["iod"] else "never",
        "uncertain": "ignore" if setting["unc"] else "object",
    }


def named(name: str, threshold: str, size: str) -> str:
    """Our name of a number: all sizes have none."""
    return threshold_name(name, float(threshold)) + ("" if size in ("all", "All") else f"_{size}")


def assert_case_equals(case: Mapping[str, Any], folder: Path) -> None:
    """All numbers of a case, with all of its settings, and the matches where it has them."""
    truth, found = read(case, folder)
    for name, tables in case.get("results", {}).items():
        thresholds = list(map(float, tables["AP"]))
        result = evaluate(
            truth,
            found,
            {"name": "tinyperson", "thresholds": thresholds, **options(case["settings"][name])},
        )
        _assert_precision_equals(result, tables, name)
        if f"printed_{name}" in case:
            assert published_lines(result) == case[f"printed_{name}"]
    if isinstance(case["MR"], dict):  # else the reference raises
        _assert_rates_equal(truth, found, case)
    for match in case.get("matches_tinybenchmark", ()):
        _assert_matches_equal(truth, found, case, match)


def assert_fast(case: Mapping[str, Any]) -> None:
    """As many images, objects and detections as the file says, in a tenth of its CPU seconds."""
    truth, found = generated(case["images"], case["gts"], case["detections"])
    for miss_rates, key in ((False, "AP_tiny_huicv"), (True, "MR_6setups")):
        before = time.process_time()
        result = evaluate(truth, found, {"name": "tinyperson", "miss_rates": miss_rates})
        seconds = time.process_time() - before
        assert 0.1 < result["AP50_tiny"] < 0.9
        assert seconds <= case[key]["cpu_s"] / 10, key


def generated(images: int, objects: int, detections: int) -> tuple[Annotations, DetectionTable]:
    """Persons of 2 to 40 px, one in ten ignored, two detections near each, others anywhere."""
    rng = np.random.default_rng(0)
    place = np.sort(rng.integers(images, size=objects))
    boxes = _anywhere(rng, objects)
    ignore = rng.random(objects) < 0.1
    near = np.repeat(np.arange(objects), 2)[:detections]
    around = boxes[near]
    sides = np.tile(around[:, 2:] - around[:, :2], 2)
    around = around + rng.normal(0, 0.08, around.shape) * sides
    rest = detections - len(near)
    truth = Annotations(
        root=Path(),
        names=("person",),
        category_ids=(1,),
        image_ids=np.arange(images),
        files=np.array([f"{i}.jpg" for i in range(images)], dtype=np.str_),
        sizes=np.zeros((images, 2), dtype=np.int32),
        offsets=np.searchsorted(place, np.arange(images + 1)).astype(np.int64),
        boxes=boxes,
        labels=np.zeros(objects, dtype=np.int64),
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        ignore=ignore,
        crowd=np.zeros(objects, dtype=np.bool_),
        annotation_ids=np.arange(objects),
    )
    found = DetectionTable(
        images=np.concatenate([place[near], rng.integers(images, size=rest)]),
        boxes=np.concatenate([around, _anywhere(rng, rest)]),
        scores=np.concatenate([rng.beta(3, 2, len(near)), rng.beta(1, 4, rest)]),
        labels=np.zeros(detections, dtype=np.int64),
    )
    return truth, found


def _anywhere(rng: np.random.Generator, count: int) -> np.ndarray:
    corners = rng.random((count, 2)) * (1920, 1080)
    sides = np.exp(rng.uniform(np.log(2), np.log(40), (count, 2)))
    return np.concatenate([corners, corners + sides], axis=1).round(2)


def _assert_precision_equals(result: Result, tables: Any, setting: str) -> None:
    wrong = {
        number: (result[number], value)
        for kind, by_threshold in tables.items()
        for threshold, by_size in by_threshold.items()
        for size, value in by_size.items()
        if abs(result[number := named(kind, threshold, size)] - value) > TOLERANCE
    }
    assert not wrong, f"{setting}: ours, theirs: {wrong}"


def _assert_rates_equal(truth: Annotations, found: DetectionTable, case: Any) -> None:
    expected = {
        named("MR", threshold, setup): value
        for setup, by_threshold in case["MR"].items()
        for threshold, value in by_threshold.items()
    }
    thresholds = [float(t) for t in next(iter(case["MR"].values()))]
    name = "citypersons" if "Reasonable" in case["MR"] else "tinyperson"
    result = evaluate(truth, found, {"name": name, "thresholds": thresholds})
    wrong = {
        number: (100 * result[number], value)
        for number, value in expected.items()
        if abs(100 * result[number] - value) > OF_RATES
    }
    assert not wrong, f"ours, theirs: {wrong}"


def _assert_matches_equal(
    truth: Annotations, found: DetectionTable, case: Any, match: Mapping[str, Any]
) -> None:
    """Which object each detection of one image and class has, and what is ignored."""
    protocol = TinyPersonProtocol(**options(case["settings"]["tinybenchmark"]))
    prepared = protocol.prepare(truth, found)
    objects, ranked = prepared.objects, prepared.ranked
    low, high = (side**2 for side in protocol.sides[match["area"]])
    ignored = objects.ignored | (objects.areas < low) | (objects.areas > high)
    group = truth.category_ids.index(match["category_id"]) * len(truth)
    group += sorted(truth.image_ids.tolist()).index(match["image_id"])
    ids = truth.annotation_ids[objects.source]

    things = np.flatnonzero(objects.groups == group)
    things = things[np.argsort(ignored[things], kind="stable")]
    assert ids[things].tolist() == match["gt_ids"]
    assert ignored[things].tolist() == [bool(flag) for flag in match["gt_ignore"]]

    rows = np.flatnonzero(ranked.groups == group)[: protocol.limits[-1]]
    rows = rows[np.argsort(ranked.ranks[rows])]
    assert ranked.source[rows].tolist() == match["dt_order"]
    outside = (ranked.extents < low) | (ranked.extents > high)
    for t, threshold in enumerate(protocol.thresholds):
        pairs = prepared.match(regular_first(prepared.close, ignored), objects, ignored, threshold)
        partner = np.zeros(len(ranked), dtype=np.int64)
        partner[pairs.detections] = ids[pairs.objects]
        assert partner[rows].tolist() == match["dt_match"][t]
        passed = outside.copy()
        passed[pairs.detections] = ignored[pairs.objects]
        assert passed[rows].tolist() == [bool(flag) for flag in match["dt_ignore"][t]]
