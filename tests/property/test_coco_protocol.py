"""The COCO protocol against pycocotools: the same files, the same numbers."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pycocotools")
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tinyscope.engine.evaluate import evaluate_files
from tinyscope.evaluation import Result

TOLERANCE = 1e-9
STATS = [
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR@1", "AR@10", "AR@100", "AR_small", "AR_medium", "AR_large"),
]


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A truth and a results list, small enough to be understood when they fail.

    Coordinates are multiples of 1, 0.1 or 0.001, so that many IoUs and areas are exactly at a
    threshold or at each other.
    """
    images = draw(st.permutations([3, 1, 7]))[: draw(st.integers(1, 3))]
    classes = draw(st.permutations([2, 9]))
    grid = draw(st.sampled_from([1, 10, 1000]))
    side = st.integers(1, 12 * grid) | st.integers(90 * grid, 100 * grid)
    place = st.integers(0, 90 * grid)
    box = st.tuples(place, place, side, side)
    objects = draw(
        st.lists(
            st.tuples(
                st.sampled_from(images), st.sampled_from(classes), box, st.sampled_from([0, 0, 1])
            ),
            max_size=8,
        )
    )
    annotations = [
        {
            "id": number + 1,
            "image_id": image,
            "category_id": label,
            "bbox": [x / grid for x in box],
            "area": draw(st.sampled_from([1.0, 1.0, 0.5])) * box[2] * box[3] / grid**2,
            "iscrowd": crowd,
        }
        for number, (image, label, box, crowd) in enumerate(objects)
    ]
    score = st.integers(0, 5)
    free = st.tuples(st.sampled_from(images), st.sampled_from(classes), box, score)
    kinds = [free]
    if objects:
        shift = st.tuples(*[st.integers(-1, 1)] * 4)
        kinds.append(st.tuples(st.sampled_from(objects), shift, score).map(_near))
    results = [
        {
            "image_id": image,
            "category_id": label,
            "bbox": [x / grid for x in box],
            "score": score / 5,
        }
        for image, label, box, score in draw(st.lists(st.one_of(kinds), max_size=20))
    ]
    return _truth(images, classes, annotations), results


def _near(drawn: Any) -> Any:
    (image, label, box, _), shift, score = drawn
    x, y, w, h = (a + b for a, b in zip(box, shift, strict=True))
    return image, label, (x, y, max(w, 1), max(h, 1)), score


def _truth(images: Any, classes: Any, annotations: Any) -> dict[str, Any]:
    return {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in images],
        "categories": [{"id": k, "name": f"class {k}"} for k in sorted(classes)],
        "annotations": annotations,
    }


def crowded(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Many objects over each other, with several detections each: long chains of refusals."""
    rng = np.random.default_rng(seed)
    grid = rng.choice([1, 10, 1000])
    n, d = rng.integers(1, 60), rng.integers(1, 200)
    images, classes = [5, 2, 11, 8], [1, 2]
    boxes = np.concatenate([rng.integers(0, 25, (n, 2)), rng.integers(4, 40, (n, 2))], 1)
    image, label = rng.choice(images, n), rng.choice(classes, n)
    crowd = (rng.random(n) < 0.1).astype(int)
    annotations = [
        {"id": i + 1, "image_id": a, "category_id": b, "bbox": c, "area": c[2] * c[3], "iscrowd": e}
        for i, (a, b, c, e) in enumerate(
            zip(*(x.tolist() for x in (image, label, boxes / grid, crowd)), strict=True)
        )
    ]
    near = rng.integers(0, n, d)
    found = np.maximum(boxes[near] + rng.integers(-3, 4, (d, 4)), 1)
    score = rng.integers(0, 30, d)
    columns = image[near], label[near], found / grid, score / 30
    results = [
        {"image_id": a, "category_id": b, "bbox": c, "score": s}
        for a, b, c, s in zip(*(x.tolist() for x in columns), strict=True)
    ]
    return _truth(images, classes, annotations), results


def reference(truth: dict[str, Any], results: list[dict[str, Any]], **params: Any) -> COCOeval:
    """What pycocotools makes of the same."""
    with contextlib.redirect_stdout(io.StringIO()):
        annotations = COCO()
        annotations.dataset = truth
        annotations.createIndex()
        detections = annotations.loadRes(results) if results else COCO()
        scoring = COCOeval(annotations, detections, "bbox")
        for key, value in params.items():
            setattr(scoring.params, key, value)
        scoring.evaluate()
        scoring.accumulate()
        if not params:
            scoring.summarize()
    return scoring


def scored(truth: Any, results: Any, folder: Path, protocol: Any = "coco") -> Result:
    """What tinyscope makes of the same, through files."""
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(results))
    return evaluate_files(folder / "truth.json", folder / "found.json", protocol)


def assert_equal(result: Result, scoring: COCOeval) -> None:
    for key in ("precision", "recall", "scores"):
        ours = getattr(result.scores, key)
        np.testing.assert_allclose(ours, scoring.eval[key], rtol=0, atol=TOLERANCE, err_msg=key)


def assert_same_stats(result: Result, scoring: COCOeval) -> None:
    stats = [result[name] for name in STATS]
    np.testing.assert_allclose(stats, scoring.stats, rtol=0, atol=TOLERANCE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coco")


@given(cases())
def test_all_numbers_are_those_of_pycocotools(
    folder: Path, case: tuple[dict[str, Any], list[dict[str, Any]]]
) -> None:
    result, scoring = scored(*case, folder), reference(*case)
    assert_equal(result, scoring)
    np.testing.assert_allclose(
        [result[name] for name in STATS], scoring.stats, rtol=0, atol=TOLERANCE
    )


@given(
    cases(),
    st.lists(st.sampled_from([1, 2, 3, 100]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=3, unique=True),
    st.lists(
        st.sampled_from([(0, 1e5), (1, 6), (3, 3.5), (6, 12), (90, 1e5)]),
        min_size=1, max_size=3, unique=True,
    ),
)  # fmt: skip
def test_thresholds_sizes_and_limits_are_those_of_pycocotools(
    folder: Path,
    case: tuple[dict[str, Any], list[dict[str, Any]]],
    limits: list[int],
    thresholds: list[float],
    sides: list[tuple[float, float]],
) -> None:
    scoring = reference(
        *case,
        maxDets=sorted(limits),
        iouThrs=np.array(thresholds),
        areaRng=[[low**2, high**2] for low, high in sides],
        areaRngLbl=[str(s) for s in sides],
    )
    protocol = {
        "name": "coco",
        "limits": sorted(limits),
        "thresholds": thresholds,
        "measure": "side",
        "sizes": {str(s): s for s in sides},
    }
    assert_equal(scored(*case, folder, protocol), scoring)


@pytest.mark.parametrize("seed", range(12))
def test_crowded_images_are_scored_as_by_pycocotools(folder: Path, seed: int) -> None:
    case = crowded(seed)
    result, scoring = scored(*case, folder), reference(*case)
    assert_equal(result, scoring)
    np.testing.assert_allclose(
        [result[name] for name in STATS], scoring.stats, rtol=0, atol=TOLERANCE
    )


def test_crowded_images_have_something_to_get_wrong(folder: Path) -> None:
    result = scored(*crowded(0), folder)
    assert 0.1 < result["AP"] < 0.9
    assert 0.02 < result["AR@1"] < result["AR@10"] < result["AR@100"]
