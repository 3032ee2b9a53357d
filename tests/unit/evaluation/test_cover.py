"""What covers a detection: which of several, how much is enough, and what is taken by it."""

import numpy as np
from evaluation_cases import found_of, truth_of

from tinyscope.evaluation.cover import GreedyThenCovered, covering
from tinyscope.evaluation.order import order_objects, rank_detections
from tinyscope.evaluation.pairing import by_preference, measured, no_pairs, regular_first, touching

REGION = (100, 100, 200, 200)


def pairs_of(truth, found, threshold=0.5, bar=0.5, lost=()):  # type: ignore[no-untyped-def]
    """Rows of detections, best first, and of objects, by image and place."""
    objects = order_objects(truth, ignored=truth.ignore, regions=truth.crowd)
    ranked = rank_detections(found, truth, 100)
    shared = touching(ranked, objects)
    close = by_preference(measured(shared, ranked, objects, threshold))
    match = GreedyThenCovered(
        covering(shared, ranked, objects, 0.1), lambda t: bar, np.array(lost, dtype=np.int64)
    )
    pairs = match(regular_first(close, objects.ignored), objects, objects.ignored, threshold)
    return list(zip(pairs.detections.tolist(), pairs.objects.tolist(), strict=True))


def inside(count):  # type: ignore[no-untyped-def]
    boxes = [(100 + 20 * i, 100, 110 + 20 * i, 110) for i in range(count)]
    return found_of([(0, 0, box, 0.9 - i / 100) for i, box in enumerate(boxes)])


def test_any_number_of_detections_lie_in_what_is_ignored():
    truth = truth_of([(0, 0, REGION)], ignore=[True])
    assert pairs_of(truth, inside(4)) == [(0, 0), (1, 0), (2, 0), (3, 0)]


def test_objects_that_are_to_be_found_cover_nothing():
    truth = truth_of([(0, 0, REGION)])
    assert pairs_of(truth, inside(4)) == []


def test_a_detection_half_inside_is_covered_enough_at_one_half():
    truth = truth_of([(0, 0, REGION)], ignore=[True])
    half = found_of([(0, 0, (90, 100, 110, 110), 0.9)])
    assert pairs_of(truth, half, bar=0.5) == [(0, 0)]
    assert pairs_of(truth, half, bar=0.51) == []


def test_of_equal_covers_the_first_object_is_taken():
    truth = truth_of([(0, 0, REGION), (0, 0, REGION)], ignore=[True, True])
    assert pairs_of(truth, inside(1)) == [(0, 0)]


def test_an_object_is_found_before_anything_covers():
    truth = truth_of([(0, 0, REGION), (0, 0, (100, 100, 110, 110))], ignore=[True, False])
    assert pairs_of(truth, inside(1)) == [(0, 1)]


def test_what_covers_a_detection_is_gone_for_the_next_one_by_iou():
    # By IoU (0.53) the second would have the object, were it free; it is covered too little.
    truth = truth_of([(0, 0, (0, 0, 10, 10))], ignore=[True])
    rows = [(0, 0, (0, 0, 5, 10), 0.9), (0, 0, (3, 0, 13, 10), 0.8)]
    assert pairs_of(truth, found_of(rows), bar=0.8) == [(0, 0)]
    assert pairs_of(truth, found_of(rows[1:]), bar=0.8) == [(0, 0)]


def test_a_lost_object_leaves_its_detection_without_one_unless_it_is_ignored():
    box = (0, 0, 10, 10)
    found = found_of([(0, 0, box, 0.9), (0, 0, box, 0.8)])
    assert pairs_of(truth_of([(0, 0, box)]), found, lost=[0]) == []
    assert pairs_of(truth_of([(0, 0, box)], ignore=[True]), found, lost=[0]) == [(0, 0), (1, 0)]


def test_the_stated_area_decides_how_much_is_covered():
    found = found_of([(0, 0, (0, 0, 5, 5), 0.9)])
    for area, share in ((100.0, 1.0), (25.0, 0.4)):
        truth = truth_of([(0, 0, (0, 0, 10, 10))], ignore=[True], areas=[area])
        objects = order_objects(truth, ignored=truth.ignore, regions=truth.crowd)
        ranked = rank_detections(found, truth, 1)
        covers = covering(touching(ranked, objects), ranked, objects, 0.1)
        np.testing.assert_allclose(covers.overlaps, [share])


def test_nothing_covers_nothing():
    assert len(no_pairs()) == 0
    assert pairs_of(truth_of([]), inside(2)) == []
    assert pairs_of(truth_of([(0, 0, REGION)], ignore=[True]), found_of([])) == []
