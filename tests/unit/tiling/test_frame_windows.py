import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.errors import SettingsError
from tinyscope.tiling import FRAME_WINDOWS
from tinyscope.tiling.frames import SlidingWindow, SpreadWindow

VIDEOS = st.tuples(st.integers(0, 6), st.integers(1, 4), st.integers(1, 30))


def test_the_first_and_the_last_frame_stand_in_for_those_beyond():
    rule = SlidingWindow(radius=2)
    assert rule(0, 4).frames == (0, 0, 0, 1, 2)
    assert rule(2, 4).frames == (0, 1, 2, 3, 3)
    assert rule(0, 1).frames == (0,) * 5
    assert rule(2, 4).slot == 2


def test_a_window_stands_still_between_its_strides():
    rule = SlidingWindow(radius=1, stride=3)
    assert [rule(key, 9).frames for key in range(7)] == [
        *[(0, 0, 3)] * 3,
        *[(0, 3, 6)] * 3,
        (3, 6, 8),  # frame 9 is beyond the end
    ]


@given(VIDEOS)
def test_no_frame_is_asked_for_after_the_delay_or_after_it_was_given_up(video):
    radius, stride, length = video
    rule = SlidingWindow(radius, stride)
    for key in range(length):
        window = rule(key, length)
        assert len(window.frames) == 2 * radius + 1
        assert all(0 <= frame < length for frame in window.frames)
        assert max(window.frames) <= key + rule.delay
        early = [frame for frame in window.frames if frame < key]
        for before in range(key + 1):  # also those that were key frames already
            assert all(frame in rule.kept(before) or frame >= before for frame in early)


def test_spread_frames_reach_from_the_first_to_the_last():
    rule = SpreadWindow(count=4)
    assert rule(5, 11).frames == (0, 3, 7, 10)
    assert rule(0, 1).frames == (0, 0, 0, 0)
    assert rule(0, 11).slot is None
    with pytest.raises(SettingsError, match="at least 2"):
        FRAME_WINDOWS.build({"name": "spread", "count": 1}, "predict.frames")
