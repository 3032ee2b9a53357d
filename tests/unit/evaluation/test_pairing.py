"""Greedy matching: against the loop that defines it, and in the cases that the loop decides."""

import numpy as np
import pytest
from evaluation_cases import found_of, truth_of
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.evaluation import pairing
from tinyscope.evaluation.order import order_objects, rank_detections
from tinyscope.evaluation.pairing import Pairs, candidates, pair, regular_first


def greedy_loop(pairs: Pairs, regions: np.ndarray, threshold: float) -> list[tuple[int, int]]:
    """The definition: from the best detection down, the first free object of its list."""
    taken: set[int] = set()
    done: set[int] = set()
    result = []
    for detection, thing, overlap in zip(
        pairs.detections.tolist(), pairs.objects.tolist(), pairs.overlaps.tolist(), strict=True
    ):
        if detection in done or overlap < threshold or (thing in taken and not regions[thing]):
            continue
        taken.add(thing)
        done.add(detection)
        result.append((detection, thing))
    return result


def as_list(pairs: Pairs) -> list[tuple[int, int]]:
    return list(zip(pairs.detections.tolist(), pairs.objects.tolist(), strict=True))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5, 0.75]))
def test_rounds_of_proposals_end_in_the_pairs_of_the_greedy_loop(
    seed: int, threshold: float
) -> None:
    rng = np.random.default_rng(seed)
    detections, objects = rng.integers(1, 30, 2)
    overlaps = rng.integers(1, 11, (detections, objects)) / 10  # with ties
    row, column = np.nonzero(rng.random((detections, objects)) < rng.random())
    overlap = overlaps[row, column]
    order = np.lexsort((-column, -overlap, row))
    pairs = Pairs(row[order], column[order], overlap[order])
    regions = rng.random(objects) < 0.2
    pairs = regular_first(pairs, regions | (rng.random(objects) < 0.3))
    assert as_list(pair(pairs, regions, threshold)) == greedy_loop(pairs, regions, threshold)


def test_a_long_chain_of_refusals_is_followed_to_its_end() -> None:
    # Each detection likes best what the better-ranked one before it takes in the end.
    n = 50
    first = np.arange(n)
    detections = np.repeat(first, 2)[1:]
    objects = np.concatenate([[0], np.stack([first[:-1], first[1:]], 1).ravel()])
    pairs = Pairs(detections, objects, np.ones(len(objects)))
    assert as_list(pair(pairs, np.zeros(n, np.bool_), 0.5)) == [(i, i) for i in range(n)]


def ranked_and_objects(truth, found, limit=100):  # type: ignore[no-untyped-def]
    objects = order_objects(truth, ignored=truth.ignore, regions=truth.crowd)
    return rank_detections(found, truth, limit), objects


def test_candidates_share_image_and_class_and_overlap_enough() -> None:
    box = (0, 0, 10, 10)
    truth = truth_of([(0, 0, box), (1, 0, box), (1, 1, box)], images=2, names="ab")
    found = found_of([(1, 1, box, 0.5), (0, 1, box, 0.9), (0, 0, (5, 0, 15, 10), 0.8)])
    ranked, objects = ranked_and_objects(truth, found)
    pairs = candidates(ranked, objects, 0.5)
    assert as_list(pairs) == [(2, 2)]
    pairs = candidates(ranked, objects, 0.3)
    assert as_list(pairs) == [(0, 0), (2, 2)]
    np.testing.assert_allclose(pairs.overlaps, [1 / 3, 1.0])


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 100, 1e6]))
def test_all_pairs_that_overlap_are_candidates_wherever_they_lie(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)

    def rows(count: int) -> list[tuple[int, int, list[float]]]:
        corner = (rng.random((count, 2)) - 0.5) * spread
        boxes = np.concatenate([corner, corner + rng.choice([1, 30, spread], (count, 2))], 1)
        places = rng.integers(0, 2, (count, 2)).tolist()
        return [(i, k, box) for (i, k), box in zip(places, boxes.tolist(), strict=True)]

    truth = truth_of(rows(20), images=2, names="ab")
    found = found_of([(*row, 0.5) for row in rows(20)])
    ranked, objects = ranked_and_objects(truth, found)
    low = np.maximum(ranked.boxes[:, None, :2], objects.boxes[None, :, :2])
    high = np.minimum(ranked.boxes[:, None, 2:], objects.boxes[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    overlap = shared / (ranked.extents[:, None] + objects.extents[None] - shared)
    overlap[ranked.groups[:, None] != objects.groups[None]] = 0
    pairs = candidates(ranked, objects, 1e-9)
    assert sorted(as_list(pairs)) == list(zip(*np.nonzero(overlap >= 1e-9), strict=True))
    np.testing.assert_allclose(pairs.overlaps, overlap[pairs.detections, pairs.objects])


def test_boxes_that_only_touch_are_no_candidates() -> None:
    truth = truth_of([(0, 0, (0, 0, 10, 10))])
    found = found_of([(0, 0, (10, 0, 20, 10), 0.5), (0, 0, (3, 3, 3, 8), 0.5)])
    assert len(candidates(*ranked_and_objects(truth, found), 1e-9)) == 0


def test_a_region_is_measured_by_how_much_of_the_detection_it_covers() -> None:
    truth = truth_of([(0, 0, (0, 0, 100, 100))], crowd=[True])
    found = found_of([(0, 0, (95, 0, 105, 10), 0.5)])
    np.testing.assert_allclose(candidates(*ranked_and_objects(truth, found), 0.5).overlaps, [0.5])


def test_of_equal_overlaps_the_later_object_is_taken() -> None:
    box = (0, 0, 10, 10)
    truth = truth_of([(0, 0, box), (0, 0, box)])
    ranked, objects = ranked_and_objects(truth, found_of([(0, 0, box, 0.5)]))
    pairs = pair(candidates(ranked, objects, 0.5), objects.regions, 0.5)
    assert as_list(pairs) == [(0, 1)]


def test_an_ignored_object_is_taken_only_when_no_other_is_left() -> None:
    truth = truth_of([(0, 0, (0, 0, 10, 10)), (0, 0, (0, 0, 10, 9))], ignore=[True, False])
    found = found_of([(0, 0, (0, 0, 10, 10), 0.9), (0, 0, (0, 0, 10, 10), 0.8)])
    ranked, objects = ranked_and_objects(truth, found)
    close = regular_first(candidates(ranked, objects, 0.5), objects.ignored)
    assert as_list(pair(close, objects.regions, 0.5)) == [(0, 1), (1, 0)]


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_candidates_do_not_depend_on_the_pieces_they_are_found_in(
    monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 20, (40, 2))
    boxes = np.concatenate([corner, corner + rng.integers(5, 20, (40, 2))], 1).tolist()
    truth = truth_of([(i % 3, i % 2, b) for i, b in enumerate(boxes)], images=3, names="ab")
    found = found_of([(i % 3, i % 2, b, i / 40) for i, b in enumerate(boxes[::-1])])
    everything = candidates(*ranked_and_objects(truth, found), 0.2)
    assert len(everything) > 20
    monkeypatch.setattr(pairing, "_PAIRS_AT_ONCE", pieces)
    assert as_list(candidates(*ranked_and_objects(truth, found), 0.2)) == as_list(everything)


@pytest.mark.parametrize("empty", ["objects", "detections", "both"])
def test_nothing_pairs_with_nothing(empty: str) -> None:
    box = (0, 0, 10, 10)
    truth = truth_of([] if empty != "detections" else [(0, 0, box)])
    found = found_of([] if empty != "objects" else [(0, 0, box, 0.5)])
    ranked, objects = ranked_and_objects(truth, found)
    pairs = regular_first(candidates(ranked, objects, 0.5), objects.ignored)
    assert len(pair(pairs, objects.regions, 0.5)) == 0
