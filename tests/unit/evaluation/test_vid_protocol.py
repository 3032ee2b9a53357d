"""The metric of ImageNet VID by cases that can be counted by hand, and beside plain loops."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_cases import found_of, truth_of
from hypothesis import given
from hypothesis import strategies as st
from plain_vid import plain_averages
from video_cases import film_of

from tinyscope.errors import DataError, SettingsError
from tinyscope.evaluation import Counts, Result, evaluate
from tinyscope.evaluation.blame import ground_of
from tinyscope.evaluation.motion import in_ranges
from tinyscope.evaluation.vid import VidProtocol
from tinyscope.evaluation.weighted import weighted_scores
from tinyscope.formats.coco import write_annotations, write_detections
from tinyscope.formats.store import stored_detections
from tinyscope.formats.tables import Annotations, DetectionTable

A, B, FAR = (0, 0, 9, 9), (50, 50, 59, 59), (200, 200, 209, 209)
RANGES = ((0.0, 1.0), (0.9, 1.0), (0.7, 0.9), (0.0, 0.7))


def scored(truth: Annotations, found: list[Any], **options: Any) -> Result:
    return evaluate(truth, found_of(found), {"name": "vid", **options})


def with_motion(rows: list[Any], motion: list[float], images: int = 1) -> Annotations:
    return replace(truth_of(rows, images), measures={"motion_iou": np.array(motion)})


def test_a_small_object_needs_less_overlap() -> None:
    # 10 x 10 px with the last pixel: (10 / 20)^2 suffices; 10 x 3 px of it are an IoU of 0.3.
    truth, found = truth_of([(0, 0, A)]), [(0, 0, (0, 0, 9, 2), 0.9)]
    assert scored(truth, found)["AP50"] == pytest.approx(1)
    assert scored(truth, found, tolerance=0)["AP50"] == 0
    assert scored(truth, [(0, 0, (0, 0, 9, 1), 0.9)])["AP50"] == 0
    # Without the last pixel: 9 x 9, (9 / 19)^2 = 0.224, and an overlap of 9 x 2.
    assert scored(truth, found, inclusive=False)["AP50"] == 0


def test_precision_is_averaged_over_all_recalls() -> None:
    truth = truth_of([(0, 0, A), (0, 0, B), (1, 0, A)], images=2)
    found = [(0, 0, A, 0.9), (0, 0, FAR, 0.8), (1, 0, A, 0.7)]
    result = scored(truth, found)
    assert result["AP50"] == pytest.approx((1 + 2 / 3) / 3)
    assert result["AP"] == result["AP50"]
    assert result["AR"] == pytest.approx(2 / 3)
    assert result.counts(0.75) == Counts(found=1, missed=2, false=1)
    assert not [name for name in result if "@" in name]


def test_of_equal_overlaps_the_first_object_is_taken() -> None:
    rows = [(0, 0, (0, 0, 9, 9)), (0, 0, (10, 0, 19, 9))]
    found = [(0, 0, (5, 0, 14, 9), 0.9)]
    truth = with_motion(rows, [1.0, 0.0])
    result = scored(truth, found, tolerance=10)
    assert result["AP50_slow"] == pytest.approx(1)
    assert result["AP50_fast"] == 0


def test_a_false_detection_is_blamed_on_the_motion_that_it_comes_near() -> None:
    rows = [(0, 0, A), (0, 0, B), (1, 0, A)]
    truth = with_motion(rows, [1.0, 0.5, 0.8], images=3)
    hits = [(0, 0, A, 0.1), (0, 0, B, 0.1), (1, 0, A, 0.1)]

    def precisions(box: Any, image: int) -> list[float]:
        result = scored(truth, [*hits, (image, 0, box, 0.9)])
        return [round(result[f"AP50_{name}"], 6) for name in ("slow", "medium", "fast")]

    touching_a, nowhere = (8, 8, 12, 12), FAR
    assert precisions(touching_a, 0) == [0.5, 1, 1]  # the only medium object is in another frame
    # One of two objects of the frame is slow, none is medium and nothing is near to either.
    assert precisions(nowhere, 0) == [round(1 / 1.5, 6), 1, round(1 / 1.5, 6)]
    assert precisions(nowhere, 2) == [0.75] * 3  # a third of all objects is of each kind


def test_an_object_of_another_motion_takes_its_detection() -> None:
    truth = with_motion([(0, 0, A), (0, 0, (0, 0, 9, 8))], [1.0, 0.5])
    result = scored(truth, [(0, 0, (0, 0, 9, 8), 0.9), (0, 0, A, 0.8)])
    assert (result["AP50_slow"], result["AP50_fast"]) == pytest.approx((1, 1))
    one = scored(truth, [(0, 0, (0, 0, 9, 8), 0.9)])
    assert (one["AP50_slow"], one["AP50_fast"]) == pytest.approx((0, 1))


def test_marked_rows_excuse_detections_of_their_class_that_they_cover() -> None:
    rows = [(0, 0, A), (0, 0, (100, 100, 199, 199)), (0, 1, B)]
    truth = truth_of(rows, names=("boat", "car"), ignore=[False, True, False])
    inside = [(0, 0, (110, 110, 120, 120), 0.9), (0, 0, (120, 120, 130, 130), 0.8)]
    found = [*inside, (0, 0, A, 0.5), (0, 1, (110, 110, 120, 120), 0.9), (0, 1, B, 0.5)]
    result = scored(truth, found)
    assert result.per_class["boat"]["AP50"] == pytest.approx(1)
    assert result.per_class["car"]["AP50"] == pytest.approx(0.5)


def test_groups_of_motion_come_from_tracks() -> None:
    moving = [(t, 0, (20 * t, 0, 20 * t + 9, 9), 1) for t in range(3)]
    standing = [(t, 0, (0, 50, 9, 59), 2) for t in range(3)]
    alone = [(1, 0, (0, 100, 9, 109), 3)]
    truth = film_of([*moving, *standing, *alone], frames=3)
    result = scored(truth, [])
    assert [result.objects(size=name) for name in result.sizes] == [7, 3, 0, 4]
    assert "1 objects that no frame near shows again count as fast" in result.table
    ungrouped = scored(truth, [], alone="ungrouped")
    assert [ungrouped.objects(size=name) for name in result.sizes] == [7, 3, 0, 3]
    assert ungrouped.stamp["objects_alone"] == 1
    assert "1 objects that no frame near shows again are in no group" in ungrouped.table


def test_without_tracks_there_is_one_group_and_the_table_says_why() -> None:
    result = scored(truth_of([(0, 0, A)]), [(0, 0, A, 0.5)])
    assert result.sizes == ("all",)
    assert "does not say which boxes are one object" in result.table
    assert "no groups by motion" not in scored(truth_of([]), [], motions={"all": [0, 1]}).table


@pytest.mark.parametrize("protocol", ["coco", "tiny", "vid"])
def test_key_frames_alone_may_be_scored(protocol: str) -> None:
    rows = [(t, 0, A, 1) for t in range(4)]
    truth = film_of(rows, frames=4, keys=[1, 3])
    found = found_of([(0, 0, FAR, 0.9), (1, 0, A, 0.8), (2, 0, FAR, 0.9), (3, 0, A, 0.7)])
    everywhere = evaluate(truth, found, protocol)
    keys = evaluate(truth, found, {"name": protocol, "frames": "keys"})
    assert everywhere["AP50"] < keys["AP50"] == pytest.approx(1)
    assert (keys.stamp["images"], keys.stamp["detections"]) == (2, 2)
    assert keys.stamp["images_between_keys"] == keys.stamp["detections_between_keys"] == 2
    assert "key frames alone: 2 other images and 2 detections" in keys.table
    with pytest.raises(DataError, match="no image is a key frame"):
        evaluate(film_of(rows, frames=4), found, {"name": protocol, "frames": "keys"})
    with pytest.raises(DataError, match="no image is a key frame"):
        evaluate(truth_of([]), found_of([]), {"name": protocol, "frames": "keys"})


def test_motion_of_key_frames_is_that_of_all_frames() -> None:
    truth = film_of([(t, 0, A, 1) for t in range(3)], frames=3, keys=[1])
    result = scored(truth, [], frames="keys", alone="ungrouped")
    assert [result.objects(size=name) for name in result.sizes] == [1, 1, 0, 0]


def drawn(seed: int) -> tuple[Annotations, DetectionTable, np.ndarray]:
    """Boxes on a coarse grid, so that many overlap and tie; scores of few values."""
    rng = np.random.default_rng(seed)
    n, d, frames = rng.integers(0, 25), rng.integers(0, 80), 6

    def boxes(count: int) -> np.ndarray:
        low, sides = rng.integers(0, 5, (count, 2)) * 4, rng.integers(1, 4, (count, 2)) * 4
        return np.concatenate([low, low + sides], axis=1).astype(float)

    def places(count: int) -> list[list[int]]:
        return np.stack([rng.integers(0, frames, count), rng.integers(0, 3, count)], 1).tolist()

    rows = [(i, k, b) for (i, k), b in zip(places(n), boxes(n).tolist(), strict=True)]
    marked = rng.random(n) < 0.15
    truth = truth_of(rows, frames, ("boat", "person", "car"), ignore=marked)
    order = rng.permutation(frames).astype(np.int64)
    truth = replace(truth, image_ids=order + 1)
    scores = rng.choice([0.1, 0.25, 0.3, 0.305, 1.0], d).tolist()
    found = [
        (i, k, b, s) for (i, k), b, s in zip(places(d), boxes(d).tolist(), scores, strict=True)
    ]
    return truth, found_of(found), rng.choice([0.2, 0.7, 0.8, 0.9, 1.0], n)


@given(st.integers(0, 10_000))
def test_averages_are_those_of_plain_loops_whatever_the_parts(seed: int) -> None:
    truth, found, motion = drawn(seed)
    expected = plain_averages(truth, found, motion, RANGES)
    ground = ground_of(truth, in_ranges(motion, RANGES), 10.0, 1.0)

    def in_parts() -> Any:
        for first in (0, 2, 4):
            yield found[(found.images >= first) & (found.images < first + 2)]

    for parts in (lambda: iter([found]), in_parts):
        scores = weighted_scores(parts, ground, (0.5,), 3)
        assert scores.averages is not None
        np.testing.assert_allclose(scores.averages[0, :, :, 0].T, expected, rtol=0, atol=1e-12)


def test_detections_on_disk_give_the_same_numbers(tmp_path: Path) -> None:
    truth, found, motion = drawn(7)
    truth = replace(truth, measures={"motion_iou": motion})
    write_annotations(truth, tmp_path / "truth.json")
    write_detections(found, truth, tmp_path / "found.json")
    with stored_detections(tmp_path / "found.json", truth, parts=3) as stored:
        result = VidProtocol()(truth, stored)
    assert dict(result) == pytest.approx(dict(evaluate(truth, found, "vid")))
    assert json.loads(result.to_json())["stamp"]["protocol"] == "vid"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thresholds": []}, r"thresholds: got \(\)"),
        ({"tolerance": -1}, r"tolerance: got -1\.0; must be pixels, 0 or more"),
        ({"span": 0}, r"span: got 0; must be 1 or more frames"),
        ({"motions": {"all": [0.5, 1.5]}}, r"motions: got .*0 <= least < largest <= 1"),
        ({"alone": "slow"}, r"alone: got 'slow'"),
        ({"limits": [100]}, r"limits: no such option of vid"),
    ],
)
def test_settings_that_say_nothing_are_refused(options: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=rf"evaluate\.protocol[.:] ?{words}"):
        scored(truth_of([]), [], **options)
