"""The order of detections and objects, on which all that follows relies."""

import numpy as np
from evaluation_cases import found_of, truth_of

from tinyscope.evaluation.order import order_objects, rank_detections

BOX = (0, 0, 2, 3)


def test_detections_stand_by_class_then_score_then_image_id_then_place() -> None:
    truth = truth_of([], images=3, names="ab")
    truth.image_ids[:] = [9, 1, 5]
    rows = [(0, 0, 0.5), (1, 0, 0.5), (2, 1, 0.9), (2, 0, 0.5), (0, 0, 0.7), (1, 0, 0.5)]
    found = found_of([(i, k, (n, 0, n + 1, 1), s) for n, (i, k, s) in enumerate(rows)])
    ranked = rank_detections(found, truth, limit=10)
    assert ranked.boxes[:, 0].tolist() == [4, 1, 5, 3, 0, 2]
    assert ranked.ranks.tolist() == [0, 0, 1, 0, 1, 0]
    assert ranked.starts.tolist() == [0, 5, 6]


def test_only_the_best_of_an_image_and_class_are_kept() -> None:
    truth = truth_of([], images=2, names="ab")
    rows = [(0, 0, 0.1), (0, 0, 0.9), (0, 0, 0.5), (1, 0, 0.2), (0, 1, 0.3)]
    ranked = rank_detections(found_of([(i, k, BOX, s) for i, k, s in rows]), truth, limit=2)
    assert ranked.scores.tolist() == [0.9, 0.5, 0.2, 0.3]
    assert ranked.ranks.tolist() == [0, 1, 0, 0]


def test_objects_stand_by_class_then_image_id_with_their_columns() -> None:
    rows = [(0, 1, (0, 0, 1, 1)), (0, 0, (1, 0, 3, 1)), (1, 0, (2, 0, 5, 1)), (1, 1, (3, 0, 7, 1))]
    truth = truth_of(rows, images=2, names="ab", crowd=[True, False, False, False])
    truth.image_ids[:] = [2, 1]
    objects = order_objects(truth, ignored=truth.ignore, regions=truth.crowd)
    assert objects.boxes[:, 0].tolist() == [2, 1, 3, 0]
    assert objects.extents.tolist() == [3, 2, 4, 1]
    assert objects.labels.tolist() == [0, 0, 1, 1]
    assert objects.regions.tolist() == [False, False, False, True]
    assert (np.diff(objects.groups) > 0).all()


def test_extents_are_those_of_the_widths_in_the_file() -> None:
    x, width = 10.1, 3.3
    assert (x + width) - x != width
    truth = truth_of([(0, 0, (x, x, x + width, x + width))])
    objects = order_objects(truth, ignored=truth.ignore, regions=truth.crowd)
    assert objects.extents[0] == width * width
