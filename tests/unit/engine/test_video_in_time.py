import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from finder import finder, picture
from PIL import Image

from small_video import DENSE, film, video_model, with_motion
from tinyscope.detectors.build import build
from tinyscope.engine.detector import Detector
from tinyscope.engine.find import find_all, find_in_tiles
from tinyscope.engine.predictor import side_divisor
from tinyscope.engine.video import VideoPredictor
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.coco import read_annotations
from tinyscope.settings import load_recipe
from tinyscope.tiling.frames import SlidingWindow, SpreadWindow

LENGTH = 7


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return with_motion(build(video_model(DENSE), classes=2))


def detector_of(model, *, radius=2, stride=1, frames=None, **predict):
    frames = frames or f"{{name: sliding, radius: {radius}, stride: {stride}}}"
    changes = ["predict.tile=null", f"predict.frames={frames}", "predict.score_threshold=0"]
    changes += ["predict.precision='32'"]
    changes += [f"predict.{key}={value}" for key, value in predict.items()]
    return Detector(model, load_recipe("quick/small", changes), ("a", "b"))


def predictor_of(detector):
    return VideoPredictor(detector.model, detector.names, detector.recipe.predict)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(one.scores, other.scores, rtol=1e-4, atol=1e-5)


@pytest.fixture
def judged(model, monkeypatch):
    """The raw outputs of each frame, as they are made; detections would tie and swap places."""
    made, judge = [], model.judge

    def recording(*arguments):
        made.append(judge(*arguments))
        return made[-1]

    monkeypatch.setattr(model, "judge", recording)
    return made


def assert_outputs_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.logits, other.logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.deltas, other.deltas, rtol=1e-4, atol=1e-4)


def rebuilt(model, frames, rule):
    """Outputs of each frame, everything computed anew for every window."""
    size = tuple(frames.shape[-2:])
    for key in range(len(frames)):
        window = rule(key, len(frames))
        seen = {n: model.see(frames[n : n + 1], [size]) for n in {*window.frames, key}}
        yield model.judge(seen[key], [seen[n] for n in window.frames], window.slot)


@pytest.mark.parametrize(("radius", "stride"), [(2, 1), (1, 3), (0, 1), (5, 2)])
@pytest.mark.parametrize("length", [1, 2, LENGTH])
def test_streaming_sees_what_windows_built_from_scratch_see(model, judged, radius, stride, length):
    detector = detector_of(model, radius=radius, stride=stride)
    frames = film(length)
    found = list(detector.video(frames))
    assert len(found) == length
    assert found[0].names == ("a", "b")
    streamed = judged.copy()
    assert_outputs_equal(streamed, rebuilt(model, frames, SlidingWindow(radius, stride)))


def test_answers_come_after_the_delay_and_the_rest_at_the_end(model):
    predictor = predictor_of(detector_of(model, radius=2))
    counts = [len(predictor.push(frame)) for frame in film(5)]
    assert counts == [0, 0, 1, 1, 1]
    assert predictor.delay == 2
    assert len(predictor.finish()) == 2
    assert len(predictor.push(film(1)[0])) == 0, "a new video began"
    assert len(predictor.finish()) == 1
    assert predictor.finish() == []


def test_what_is_held_does_not_grow_with_the_video(model):
    for radius, stride, limit in ((2, 1, 5), (1, 3, 6)):
        predictor = predictor_of(detector_of(model, radius=radius, stride=stride))
        held = []
        for frame in film(4 * LENGTH, (32, 32)):
            predictor.push(frame)
            held.append(len(predictor._held))
        assert max(held) <= limit
        predictor.finish()
        assert not predictor._held


def test_a_window_spread_over_the_video_waits_for_its_end(model, judged):
    detector = detector_of(model, frames="{name: spread, count: 3}")
    predictor, frames = predictor_of(detector), film(LENGTH)
    assert [predictor.push(frame) for frame in frames] == [[]] * LENGTH
    assert predictor.delay is None
    assert len(predictor.finish()) == LENGTH
    streamed = judged.copy()
    assert_outputs_equal(streamed, rebuilt(model, frames, SpreadWindow(count=3)))


def test_tiles_are_joined_in_time_and_in_space(model):
    detector = detector_of(model, radius=1, tile=48, overlap=8, batch=2)
    frames = film(3, (48, 88))
    found = list(detector.video(frames))
    left = list(detector.video(frames[..., :48]))
    assert len(found) == 3
    best = {tuple(box) for box in found[1].boxes.round().tolist()}
    assert best & {tuple(box) for box in left[1].boxes.round().tolist()}
    assert bool((found[1].boxes[:, 2] > 60).any())


def test_an_image_is_a_video_of_one_frame(model):
    detector = detector_of(model, radius=2)
    frames = film(2)
    alone = [next(iter(detector.video([frame]))) for frame in frames]
    assert_same(detector.predict(list(frames)), alone)


def test_frames_are_padded_for_flow_and_for_the_pyramid_and_scaled(model):
    assert side_divisor(model) == 16
    detector = detector_of(model, radius=1, scale=2.0)
    found = list(detector.video(film(2, (30, 41))))
    for one in found:
        assert bool((one.boxes[:, 2] <= 41).all() and (one.boxes[:, 3] <= 30).all())


def test_a_detector_of_images_answers_at_once():
    detector = finder()
    frames = [picture([(3, 4, 8, 9, 200 + 2 * i)]) for i in range(3)]
    predictor = predictor_of(detector)
    assert [len(predictor.push(frame)) for frame in frames] == [1, 1, 1]
    assert (predictor.finish(), predictor.delay) == ([], 0)
    assert [one.scores.tolist() for one in detector.video(frames)] == [
        detector.predict(frame).scores.tolist() for frame in frames
    ]


def test_frames_of_another_size_are_refused(model):
    predictor = predictor_of(detector_of(model))
    predictor.push(film(1)[0])
    with pytest.raises(DataError, match="frame 1 of the video is 32 x 64 pixels, those before"):
        predictor.push(film(1, (64, 32))[0])
    predictor.forget()
    predictor.push(film(1, (64, 32))[0])


@pytest.mark.parametrize("changes", [{"views": "2"}, {"zooms": "[1, 2]"}])
def test_several_looks_at_a_frame_are_refused(model, changes):
    (key,) = changes
    with pytest.raises(SettingsError, match=rf"predict\.{key}: .*detector of videos"):
        predictor_of(detector_of(model, **changes))


def test_a_window_in_time_is_refused_where_frames_are_looked_at_one_by_one():
    with pytest.raises(SettingsError, match=r"predict\.frames: got sliding, but a Finder looks at"):
        finder().predictor(frames={"name": "sliding", "radius": 2})


def film_files(folder, order, sizes=None):
    """Two videos whose images stand in the file in this order; annotations of them."""
    images = []
    frames = film(6, (32, 48))
    for number, index in enumerate(order):
        name = f"{index}.png"
        Image.fromarray(frames[index].permute(1, 2, 0).numpy()).save(folder / name)
        images.append(
            {"id": number + 1, "file_name": name, "width": 48, "height": 32}
            | {"video_id": 1 + index // 4, "frame_id": index % 4}
        )
    content = {
        "images": images,
        "videos": [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}],
        "annotations": [],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    (folder / "video.json").write_text(json.dumps(content))
    return read_annotations(folder / "video.json"), frames


def test_a_data_set_is_gone_through_video_by_video(model, tmp_path):
    order = [3, 5, 0, 2, 4, 1]
    annotations, frames = film_files(tmp_path, order)
    detector = detector_of(model, radius=1)
    table = find_all(detector.predictor(), annotations)
    expected = [*detector.video(frames[:4]), *detector.video(frames[4:])]
    for position, index in enumerate(order):
        rows = table.images == position
        found = expected[index]
        np.testing.assert_allclose(table.scores[rows], found.scores.numpy(), rtol=1e-4)
    assert table.images.tolist() == sorted(table.images.tolist())


def test_in_a_data_set_a_change_of_size_begins_a_new_video(model, tmp_path):
    annotations, frames = film_files(tmp_path, range(6))
    wide = film(6, (32, 64))
    for number in (2, 3):
        Image.fromarray(wide[number].permute(1, 2, 0).numpy()).save(tmp_path / f"{number}.png")
    sizes = annotations.sizes.copy()
    sizes[2:4] = 32, 64
    detector = detector_of(model, radius=1)
    table = find_all(detector.predictor(), replace(annotations, sizes=sizes))
    parts = (frames[:2], wide[2:4], frames[4:])
    expected = [found for part in parts for found in detector.video(part)]
    for position, found in enumerate(expected):
        scores = table.scores[table.images == position]
        np.testing.assert_allclose(scores, found.scores.numpy(), rtol=1e-4)


def test_a_path_is_not_taken_for_frames(model):
    with pytest.raises(DataError, match=r"^video clip\.mp4: frames are asked for"):
        detector_of(model).video("clip.mp4")


def test_tiles_of_frames_are_not_looked_at_one_by_one(model, tmp_path):
    annotations, _ = film_files(tmp_path, range(6))
    windows = np.tile(np.array([[0, 0, 48, 32]]), (6, 1))
    tiles = replace(annotations, windows=windows)
    with pytest.raises(DataError, match="tiles of larger ones, which a detector of videos does"):
        find_all(detector_of(model).predictor(), tiles)
    with pytest.raises(DataError, match="tiles of larger ones, which a detector of videos does"):
        find_in_tiles(detector_of(model).predictor(), tiles, annotations)
