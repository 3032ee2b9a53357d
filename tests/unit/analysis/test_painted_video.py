import numpy as np
import pytest
from PIL import Image

from tinyscope.analysis.painted_video import ENCODERS, painted_video
from tinyscope.data.video import VideoFile
from tinyscope.errors import DataError

pytest.importorskip("av")


def colored(color, size=(60, 40)):
    return Image.new("RGB", size, color)


def read(path):
    return [np.asarray(frame.image.permute(1, 2, 0)) for frame in VideoFile(path)]


def test_pictures_keep_their_colors_and_times(tmp_path):
    colors = [(250, 20, 20), (20, 230, 20), (30, 60, 240)]
    seconds = [5.0, 5.04, 6.0]  # only differences count
    with painted_video(tmp_path / "a.mp4", 25.0) as add:
        for color, second in zip(colors, seconds, strict=True):
            add(colored(color), second)
    frames = list(VideoFile(tmp_path / "a.mp4"))
    assert [f.seconds for f in frames] == pytest.approx([0.0, 0.04, 1.0], abs=1e-3)
    for frame, color in zip(frames, colors, strict=True):
        assert frame.image.float().mean(dim=(1, 2)).tolist() == pytest.approx(color, abs=6)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_odd_sides_get_a_border_and_other_sizes_are_fitted(tmp_path):
    with painted_video(tmp_path / "a.mp4", 10.0) as add:
        add(colored((250, 250, 250), (61, 41)), 0.0)
        add(colored((250, 250, 250), (122, 60)), 0.1)  # twice as wide
        add(colored((250, 250, 250), (50, 30)), 0.2)
    frames = read(tmp_path / "a.mp4")
    assert {frame.shape for frame in frames} == {(42, 62, 3)}
    lit = [[(f.mean(axis=(1 - k, 2)) > 128).sum() for k in (0, 1)] for f in frames]
    assert lit[0] == pytest.approx([41, 61], abs=1)
    white = [(frame.min(axis=2) > 150) for frame in frames]
    assert white[1].any(axis=1).sum() == pytest.approx(30, abs=1)
    assert white[1].any(axis=0).sum() == 62
    assert white[2].any(axis=1).sum() == pytest.approx(30, abs=1)
    assert white[2].any(axis=0).sum() == pytest.approx(50, abs=1)


def test_times_that_stand_still_do_not_end_the_work(tmp_path):
    with painted_video(tmp_path / "a.mp4", 10.0) as add:
        for second in (0.0, 0.0, 0.5, 0.4):
            add(colored((9, 9, 9)), second)
    assert len(read(tmp_path / "a.mp4")) == 4


def test_without_h264_another_encoder_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr("tinyscope.analysis.painted_video.ENCODERS", {"none": {}, "mpeg4": {}})
    with painted_video(tmp_path / "a.mp4", 29.97) as add:
        add(colored((250, 20, 20)), 0.0)
    assert len(read(tmp_path / "a.mp4")) == 1
    monkeypatch.setattr("tinyscope.analysis.painted_video.ENCODERS", {"none": {}})
    with (
        pytest.raises(DataError, match=r"b\.mp4: .* no encoder of none"),
        painted_video(tmp_path / "b.mp4", 10.0) as add,
    ):
        add(colored((9, 9, 9)), 0.0)
    assert "mpeg4" in ENCODERS
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_an_error_leaves_no_video(tmp_path):
    def work(add):
        add(colored((9, 9, 9)), 0.0)
        raise DataError("a frame cannot be read")

    with pytest.raises(DataError, match="a frame"), painted_video(tmp_path / "a.mp4", 10.0) as add:
        work(add)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DataError, match=r"a\.mp4: the video cannot be written"),
        painted_video(tmp_path / "file" / "a.mp4", 10.0) as add,
    ):
        add(colored((9, 9, 9)), 0.0)
