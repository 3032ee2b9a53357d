"""The protocol of AI-TOD against the published evaluator."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinyscope.evaluation import Result, evaluate
from tinyscope.evaluation.ai_tod import PUBLISHED_FIGURES, published_figures
from tinyscope.evaluation.coco import COCO_THRESHOLDS
from tinyscope.formats.coco import read_annotations, read_detections

TOLERANCE = 1e-6
FROM_025 = (0.25, 0.5, 0.75)
"""The other thresholds of a run. The files have none, only how many, and the fixtures' README says
where these begin; that they are quarters is told by the names of the figures, AP25, AP50, AP75."""
OURS = {
    "olrp_K_A": "oLRP",
    "olrp_loc_K_A": "oLRP_loc",
    "olrp_fp_K_A": "oLRP_fp",
    "olrp_fn_K_A": "oLRP_fn",
    "lrp_opt_thr_K_A": "oLRP_score",
}


def assert_run_equals(
    truth: Mapping[str, Any],
    rows: list[list[float]],
    expected: Mapping[str, Any],
    run: str,
    folder: Path,
) -> None:
    """All numbers of one run, through files."""
    found = perfect(truth) if run.startswith("perfect") else rows
    write(truth, found, folder)
    annotations = read_annotations(folder / "truth.json")
    detections = read_detections(folder / "found.json", annotations)
    result = evaluate(annotations, detections, options(expected))
    for name, ours, theirs in numbers(result, expected):
        theirs = np.array(theirs, dtype=np.float64)  # null becomes NaN
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE, err_msg=f"{run}: {name}")


def options(run: Mapping[str, Any]) -> dict[str, Any]:
    """Our options for a published run: of the file, but for the thresholds, which it only counts.

    That a `perfect` run has the objects themselves for detections stands in its name alone.
    """
    count = len(run["recall_last_maxdet_T_by_K_by_A"])
    thresholds = {len(COCO_THRESHOLDS): COCO_THRESHOLDS, len(FROM_025): FROM_025}[count]
    return {
        "name": "ai_tod",
        "thresholds": thresholds,
        "limits": tuple(run["max_dets"]),
        "classes": "apart" if run["use_cats"] else "together",
        "optimal_lrp": run["with_lrp"],
    }


def numbers(result: Result, run: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name, our numbers and theirs."""
    scores = result.scores
    precision = scores.precision[..., -1]  # (t, r, k, a)
    yield "stats", list(published_figures(result).values()), run["stats"]
    yield "recall", scores.recall[..., -1], run["recall_last_maxdet_T_by_K_by_A"]
    yield "AP by area", _mean(precision.transpose(2, 3, 0, 1)), run["per_class_ap_by_area"]
    half = result.thresholds.index(0.5)
    yield "AP50", _mean(precision[half, :, :, 0].T), run["per_class_ap50"]
    sampled = run["precision_iou50_allareas_recall0_to_100_by_class"]
    steps = np.linspace(0, 100, len(sampled)).round().astype(int)
    # The key says 0.5; what stands there is of the first threshold.
    yield "precision", precision[0, steps, :, 0], sampled
    for key, name in OURS.items():
        if run["with_lrp"]:
            yield name, result.figures[name], run[key]


def assert_names_are_those_published(names: list[str]) -> None:
    assert list(PUBLISHED_FIGURES) == names


def perfect(truth: Mapping[str, Any]) -> list[list[float]]:
    """Every object that is no crowd, found exactly, all with one score."""
    return [
        [row["image_id"], row["category_id"], *row["bbox"], 0.5]
        for row in truth["annotations"]
        if not row["iscrowd"]
    ]


def write(truth: Mapping[str, Any], rows: list[list[float]], folder: Path) -> None:
    (folder / "truth.json").write_text(json.dumps(truth))
    found = [
        {"image_id": int(i), "category_id": int(k), "bbox": box, "score": score}
        for i, k, *box, score in rows
    ]
    (folder / "found.json").write_text(json.dumps(found))


def _mean(values: np.ndarray) -> np.ndarray:
    """Over all axes but the class and, where there is one, the size; -1 where nothing is scored."""
    kept = 2 if values.ndim == 4 else 1
    flat = values.reshape(*values.shape[:kept], -1)
    return np.where((flat > -1).any(-1), flat.mean(-1), -1.0)
