"""Which frames a key frame is shown with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.data.clips.references import BilateralReferences, References, UniformReferences


@given(st.integers(1, 40), st.integers(0, 39), st.integers(1, 12), st.integers(1, 3))
def test_each_side_gives_its_half_and_no_frame_twice(length, frame, radius, half):
    frame = min(frame, length - 1)
    rule = BilateralReferences(radius, 2 * half)
    drawn = rule(frame, length, np.random.default_rng(length))
    if length == 1:
        assert drawn == (0,)
        return
    assert list(drawn) == sorted(set(drawn))
    before = [f for f in drawn if f < frame]
    after = [f for f in drawn if f > frame]
    assert len(before) == min(half, radius, frame)
    assert len(after) == min(half, radius, length - 1 - frame)
    assert len(drawn) == len(before) + len(after)
    assert all(0 < abs(f - frame) <= radius for f in drawn)


def test_the_key_may_be_drawn_from_both_sides_where_it_is_not_skipped():
    rule = BilateralReferences(9, 2, skip_key=False)
    assert rule(0, 1, np.random.default_rng(0)) == (0, 0)
    drawn = {rule(1, 3, np.random.default_rng(seed)) for seed in range(40)}
    assert (1, 1) in drawn
    assert all(a <= 1 <= b for a, b in drawn)


def test_all_frames_of_a_side_are_as_likely():
    rule, random = BilateralReferences(5, 2), np.random.default_rng(0)
    drawn = np.array([rule(20, 40, random) for _ in range(4000)])
    for column, frames in ((0, range(15, 20)), (1, range(21, 26))):
        counts = [int((drawn[:, column] == frame).sum()) for frame in frames]
        assert sum(counts) == 4000
        assert all(abs(count - 800) < 5 * (4000 * 0.2 * 0.8) ** 0.5 for count in counts)


@given(st.integers(1, 40), st.integers(0, 39), st.integers(1, 5))
def test_uniform_references_lie_around_the_key(length, frame, count):
    frame = min(frame, length - 1)
    drawn = UniformReferences(6, count)(frame, length, np.random.default_rng(frame))
    others = [f for f in range(length) if 0 < abs(f - frame) <= 6]
    assert set(drawn) <= set(others or [frame])
    assert len(set(drawn)) == len(drawn) == max(1, min(count, len(others)))


def test_a_still_is_repeated_as_often_as_asked_for():
    assert BilateralReferences(copies=2)(0, 1, np.random.default_rng(0)) == (0, 0)
    assert isinstance(BilateralReferences(), References)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 3}, "count must be even"),
        ({"count": 0}, "count must be at least 1"),
        ({"radius": 0}, "radius must be at least 1"),
        ({"copies": 0}, "copies must be at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        BilateralReferences(**options)
