import numpy as np
import pytest
import torch

from tinyscope.data.video import VideoFile
from tinyscope.errors import DataError


def noise(count, size=(64, 96)):
    """Frames that no encoder makes small, so that damage hits their pixels."""
    draw = np.random.default_rng(3)
    values = draw.integers(0, 256, (count, 3, *size), dtype=np.uint8)
    return list(torch.from_numpy(values))


def cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def overwrite(path, share=0.5, count=20000):
    content = bytearray(path.read_bytes())
    at = int(len(content) * share)
    content[at : at + count] = bytes(count)
    path.write_bytes(content)
    return path


def test_frames_come_in_order_with_their_times(film, tmp_path):
    images = noise(5)
    video = VideoFile(film(tmp_path / "a.mkv", images))
    frames = list(video)
    assert [f.number for f in frames] == [0, 1, 2, 3, 4]
    assert [f.seconds for f in frames] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert (video.rate, video.count) == (10.0, 5)
    for frame, image in zip(frames, images, strict=True):
        assert frame.image.dtype == torch.uint8
        assert torch.equal(frame.image, image)
    assert len(list(video)) == 5  # as often as one likes


def test_a_rate_may_vary(film, tmp_path):
    seconds = [0.0, 0.04, 0.5, 0.52, 1.9]
    frames = VideoFile(film(tmp_path / "a.mp4", noise(5), "libx264", seconds))
    assert [f.seconds for f in frames] == pytest.approx(seconds, abs=1e-3)


@pytest.mark.parametrize("turn", [90, -90, 180])
def test_a_turned_phone_is_turned_back(film, tmp_path, turn):
    image = torch.full((3, 40, 64), 10, dtype=torch.uint8)
    image[:, :10, :10] = 250  # the corner at the top left
    path = film(tmp_path / "a.mp4", [image] * 2, "libx264", turn=turn)
    frame = next(iter(VideoFile(path))).image
    expected = torch.rot90(image, turn // 90, (1, 2))  # counterclockwise
    assert frame.shape == expected.shape
    assert (frame.float() - expected.float()).abs().mean() < 8


def test_reading_holds_few_frames(film, tmp_path, monkeypatch):
    path = film(tmp_path / "a.mkv", noise(40, (16, 16)))
    decoded = 0

    def counted(frame):
        nonlocal decoded
        decoded += 1
        return torch.zeros(3, 16, 16, dtype=torch.uint8)

    monkeypatch.setattr("tinyscope.data.video._pixels", counted)
    for frame in VideoFile(path):
        assert decoded == frame.number + 1
    assert decoded == 40


@pytest.mark.parametrize("content", [b"", b"no video at all" * 99])
def test_what_is_no_video_is_named(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"video .*a\.mp4: cannot be opened \(Invalid data"):
        VideoFile(path)


def test_a_missing_video_is_named(tmp_path):
    with pytest.raises(DataError, match=r"video .*a\.mp4: no such file"):
        VideoFile(tmp_path / "a.mp4")


def test_a_video_without_its_index_is_named(film, tmp_path):
    path = cut(film(tmp_path / "a.mp4", noise(20), "libx264"))
    with pytest.raises(DataError, match=r"a\.mp4: cannot be opened .* its end"):
        VideoFile(path)


def test_a_video_without_frames_is_named(film, tmp_path, monkeypatch):
    path = film(tmp_path / "a.mkv", noise(1))
    monkeypatch.setattr("tinyscope.data.video._decoded", lambda *_: iter(()))
    with pytest.raises(DataError, match=r"a\.mkv: not one frame can be decoded"):
        list(VideoFile(path))
    damaged = []
    assert list(VideoFile(path, damaged)) == []
    assert ["not one frame" in message for message in damaged] == [True]


KINDS = [
    ("mkv", "libx264", {}),
    ("mp4", "libx264", {"movflags": "faststart"}),
    ("avi", "mjpeg", {}),
]


@pytest.mark.parametrize(("suffix", "codec", "options"), KINDS)
def test_a_video_that_ends_early_is_an_error_or_a_message(film, tmp_path, suffix, codec, options):
    path = cut(film(tmp_path / f"a.{suffix}", noise(30), codec, options=options))
    got = []
    with pytest.raises(DataError, match=rf"a\.{suffix}: frame \d+ \(from 0\) is .*--keep-going"):
        got.extend(VideoFile(path))
    assert 5 < len(got) < 29
    damaged = []
    lenient = list(VideoFile(path, damaged))
    assert len(lenient) >= len(got)
    assert len(damaged) == 1
    assert f"a.{suffix}: frame " in damaged[0]


def test_damage_in_the_middle_is_an_error_or_one_message(film, tmp_path):
    path = overwrite(film(tmp_path / "a.mp4", noise(30), "libx264"))
    with pytest.raises(DataError, match=r"a\.mp4: frame \d+ \(from 0\) is damaged"):
        list(VideoFile(path))
    damaged = []
    frames = list(VideoFile(path, damaged))
    assert 20 <= len(frames) <= 30
    assert [f.number for f in frames] == list(range(len(frames)))
    assert len(damaged) == 1
    assert "is damaged" in damaged[0]


def test_the_true_end_is_no_damage(film, tmp_path):
    damaged = []
    for suffix in ("mkv", "mp4", "avi", "ts", "mov"):
        path = film(tmp_path / f"a.{suffix}", noise(12), "mpeg4")
        assert len(list(VideoFile(path, damaged))) == 12
    assert damaged == []
