"""Motion IoUs by cases that can be counted by hand, and beside a loop."""

from dataclasses import replace

import numpy as np
import pytest
from evaluation_cases import truth_of
from hypothesis import given
from hypothesis import strategies as st
from video_cases import film_of

from tinyscope.errors import DataError
from tinyscope.evaluation.motion import has_motion, in_ranges, motion_ious


def box(x: float) -> tuple[float, float, float, float]:
    return (x, 0, x + 10, 10)


def test_motion_is_the_mean_over_both_sides() -> None:
    truth = film_of([(0, 0, box(0), 1), (1, 0, box(0), 1), (2, 0, box(5), 1)], frames=3)
    third = 1 / 3
    np.testing.assert_allclose(
        motion_ious(truth, 10, 0.0), [(1 + third) / 2, (1 + third) / 2, third]
    )
    np.testing.assert_allclose(motion_ious(truth, 1, 0.0), [1, (1 + third) / 2, third])


def test_sides_may_include_the_last_pixel() -> None:
    truth = film_of([(0, 0, box(0), 1), (1, 0, box(5), 1)], frames=2)
    np.testing.assert_allclose(motion_ious(truth, 1, 1.0), 6 / 16)


def test_who_is_seen_once_has_no_motion() -> None:
    rows = [(0, 0, box(0), 1), (1, 0, box(0), 2), (2, 0, box(0), -1), (3, 0, box(0), -1)]
    assert np.isnan(motion_ious(film_of(rows, frames=4), 10, 1.0)).all()
    far = film_of([(0, 0, box(0), 1), (3, 0, box(0), 1)], frames=4)
    assert np.isnan(motion_ious(far, 2, 1.0)).all()
    assert (motion_ious(far, 3, 1.0) == 1).all()


def test_tracks_of_other_videos_are_other_objects() -> None:
    truth = film_of([(0, 0, box(0), 1), (1, 0, box(0), 1)], frames=2, videos=[0, 1])
    assert np.isnan(motion_ious(truth, 10, 1.0)).all()


def test_a_stated_motion_stands_in_place_of_that_of_the_track() -> None:
    truth = film_of([(0, 0, box(0), 1), (1, 0, box(0), 1)], frames=2)
    stated = replace(truth, measures={"motion_iou": np.array([0.25, np.nan])})
    assert motion_ious(stated, 10, 1.0).tolist() == [0.25, 1]
    assert has_motion(truth)
    assert has_motion(replace(stated, video=None))
    assert not has_motion(truth_of([(0, 0, box(0))]))
    assert not has_motion(film_of([(0, 0, box(0), -1)]))


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_a_stated_motion_that_is_no_overlap_is_refused(value: float) -> None:
    stated = replace(truth_of([(0, 0, box(0))]), measures={"motion_iou": np.array([value])})
    with pytest.raises(DataError, match=rf"annotation .*: motion_iou must .*, got {value}"):
        motion_ious(stated, 10, 1.0)


def test_ends_of_ranges_are_in_both_and_unknown_motion_in_the_first_alone() -> None:
    inside = in_ranges(np.array([0.7, 0.8, np.nan]), ((0.5, 0.6), (0.0, 0.7), (0.7, 1.0)))
    assert inside.tolist() == [[False, False, True], [True, False, False], [True, True, False]]


@given(st.integers(0, 10_000))
def test_motion_equals_that_of_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames, n = 8, int(rng.integers(0, 30))
    rows = [
        (int(rng.integers(frames)), 0, box(float(rng.integers(0, 8))), int(rng.integers(-1, 4)))
        for _ in range(n)
    ]
    truth = film_of(rows, frames, videos=sorted(rng.integers(0, 2, frames).tolist()))
    assert truth.video is not None
    span, pixel = int(rng.integers(1, 5)), float(rng.integers(0, 2))
    video, image = truth.video, truth.images
    expected = []
    for i in range(n):
        near = []
        for j in range(n):
            apart = abs(int(video.frames[image[i]] - video.frames[image[j]]))
            same = video.videos[image[i]] == video.videos[image[j]]
            if video.instances[i] == video.instances[j] >= 0 and same and 0 < apart <= span:
                shared = max(0, 10 + pixel - abs(truth.boxes[i, 0] - truth.boxes[j, 0]))
                near.append(shared / (2 * (10 + pixel) - shared))
        expected.append(np.mean(near) if near else np.nan)
    assert motion_ious(truth, span, pixel) == pytest.approx(np.array(expected), nan_ok=True)
