from pathlib import Path

import numpy as np

from tinyscope.analysis.outcomes import outcomes
from tinyscope.formats.tables import Annotations, DetectionTable


def truth() -> Annotations:
    """Two images: objects of classes 0 and 1 in the first, a crowd in the second."""
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 40, 40]], dtype=np.float64)
    return Annotations(
        root=Path(),
        names=("boat", "car"),
        category_ids=(1, 2),
        image_ids=np.array([7, 3]),
        files=np.array(["a.png", "b.png"]),
        sizes=np.array([[50, 50], [50, 50]], dtype=np.int32),
        offsets=np.array([0, 2, 3]),
        boxes=boxes,
        labels=np.array([0, 1, 0]),
        areas=np.array([100.0, 100.0, 1600.0]),
        ignore=np.array([False, False, True]),
        crowd=np.array([False, False, True]),
        annotation_ids=np.array([1, 2, 3]),
    )


def found(*rows: tuple[int, float, float, float, float, float, int]) -> DetectionTable:
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    return DetectionTable(
        table[:, 0].astype(np.int64), table[:, 1:5], table[:, 5], table[:, 6].astype(np.int64)
    )


def test_objects_are_found_by_their_class_and_the_best_detection():
    detections = found(
        (0, 20, 20, 30, 30, 0.9, 0),  # right place, wrong class
        (0, 1, 1, 11, 11, 0.6, 0),
        (0, 0, 0, 10, 10, 0.8, 0),  # better, so the one before is a duplicate
    )
    became = outcomes(truth(), detections)
    assert became.counted.tolist() == [True, True, False]
    assert became.found.tolist() == [True, False, False]
    assert became.false.tolist() == [True, True, False]


def test_detections_on_ignored_regions_are_not_false():
    detections = found(
        (1, 2, 2, 9, 9, 0.9, 0), (1, 20, 20, 28, 28, 0.8, 0), (1, 2, 2, 9, 9, 0.7, 1)
    )
    became = outcomes(truth(), detections)
    assert became.false.tolist() == [False, False, True]
    assert not became.found.any()


def test_detections_below_the_score_are_left_out():
    became = outcomes(truth(), found((0, 0, 0, 10, 10, 0.3, 0)), score=0.5)
    assert not became.found.any()
    assert not became.false.any()


def test_nothing_found_leaves_everything_missed():
    became = outcomes(truth(), found())
    assert (became.found.sum(), len(became.false)) == (0, 0)
