import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from films import Delayed, boxes_of, moving
from finder import finder, picture
from PIL import Image

from tinyscope.data.video import Frame, VideoFile
from tinyscope.engine import predict_video as module
from tinyscope.engine.detector import load
from tinyscope.engine.inputs import by_number
from tinyscope.engine.predict import predict
from tinyscope.engine.predict_video import one_ahead, watched
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.coco import read_annotations

pytest.importorskip("av")


def write_frames(folder, images, name="f{}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, 1):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / name.format(number))
    return folder


def written(out):
    rows = json.loads((out / "detections.json").read_text())
    with (out / "detections.csv").open() as file:
        return rows, list(csv.DictReader(file))


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def frames_of(images):
    return (Frame(image, n, n / 10) for n, image in enumerate(images))


@pytest.mark.parametrize("delay", [0, 3, 50])
def test_every_frame_gets_its_own_answer_whatever_the_delay(delay):
    predictor = Delayed(delay=delay)
    seen = list(watched(predictor, frames_of(moving(12))))
    assert [frame.number for frame, _ in seen] == list(range(12))
    assert [boxes_of(found)[0][0] for _, found in seen] == [10 + n for n in range(12)]
    assert predictor.most <= delay + 1


def test_frames_come_out_as_soon_as_they_are_known():
    read = 0

    def counted():
        nonlocal read
        for frame in frames_of(moving(12)):
            read += 1
            yield frame

    for number, _ in enumerate(watched(Delayed(delay=3), counted())):
        assert read == min(number + 4, 12)


def test_no_frame_is_joined_with_one_of_another_size():
    images = [*moving(5, (64, 96)), *moving(4, (32, 48)), *moving(3, (64, 96))]
    predictor = Delayed(delay=4)
    seen = list(watched(predictor, frames_of(images)))  # it refuses other sizes itself
    assert [frame.number for frame, _ in seen] == list(range(12))
    assert [len(found) for _, found in seen] == [1] * 12


def test_a_predictor_is_as_new_after_an_error():
    def broken():
        yield from frames_of(moving(5))
        raise DataError("damaged")

    predictor = Delayed(delay=3)
    with pytest.raises(DataError, match="damaged"):
        list(watched(predictor, broken()))
    assert predictor.held == []


def test_one_item_is_made_ahead_and_the_maker_is_closed():
    made, closed = [], []

    def maker():
        try:
            for i in range(20):
                made.append(i)
                yield i
        finally:
            closed.append(True)

    for number, item in enumerate(one_ahead(maker())):
        assert item == number
        assert len(made) <= number + 2
    assert len(made) == 20
    items = one_ahead(maker())
    next(items)
    items.close()
    assert closed == [True, True]


def test_a_video_is_found_in_listed_and_painted(film, tmp_path):
    path = film(tmp_path / "clip.mkv", moving(12))
    result = predict(finder(), [path], tmp_path / "out")
    assert (result.images, result.videos, result.frames, result.detections) == (0, 1, 12, 12)
    assert result.seconds > 0
    assert "12 frames of 1 videos, 12 detections" in str(result)
    assert "frames per second" in str(result)
    rows, table = written(tmp_path / "out")
    assert [(r["image_id"], r["bbox"]) for r in rows] == [
        (n + 1, [10 + n, 20, 6, 6]) for n in range(12)
    ]
    assert [(t["video_id"], t["frame"], t["seconds"]) for t in table[:2]] == [
        ("1", "0", "0.000"),
        ("1", "1", "0.100"),
    ]
    assert table[3]["file"] == str(path)
    listed = json.loads((tmp_path / "out" / "images.json").read_text())
    assert listed["videos"] == [{"id": 1, "name": "clip.mkv"}]
    assert listed["images"][2] == {
        "id": 3,
        "file_name": "clip.mkv/000002.png",
        "width": 96,
        "height": 64,
        "video_id": 1,
        "frame_id": 2,
        "seconds": 0.2,
    }
    lines = lines_of(tmp_path / "out" / "videos" / "clip.jsonl")
    assert [line["frame"] for line in lines] == list(range(12))
    assert lines[4]["image_id"] == 5
    assert lines[4]["detections"] == [
        {"label": "even", "score": pytest.approx(240 / 255, abs=1e-4), "box": [14, 20, 20, 26]}
    ]
    painted = list(VideoFile(tmp_path / "out" / "videos" / "clip.mp4"))
    assert [f.seconds for f in painted] == pytest.approx([n / 10 for n in range(12)], abs=1e-3)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *("detections.json", "detections.csv", "images.json", "videos")
    }


@pytest.mark.parametrize("delay", [2, 40])
def test_what_a_detector_says_later_is_written_to_its_frame(film, tmp_path, monkeypatch, delay):
    def late(model, names, settings):
        return Delayed(names, delay)

    monkeypatch.setattr("tinyscope.engine.predict.VideoPredictor", late)
    path = film(tmp_path / "clip.mkv", moving(9))
    assert predict(finder(), [path], tmp_path / "out", pictures=False).frames == 9
    rows, _ = written(tmp_path / "out")
    assert [(r["image_id"], r["bbox"][0]) for r in rows] == [(n + 1, 10 + n) for n in range(9)]
    assert not list((tmp_path / "out").rglob("*.mp4"))


@pytest.mark.slow
def test_a_detector_of_videos_takes_a_folder_as_one(film, tmp_path):
    detector = load("quick/fgfa", device="cpu")
    options = {"frames": {"name": "sliding", "radius": 1}, "limit": 5, "tile": 0}
    folder = write_frames(tmp_path / "in", moving(4))
    result = predict(detector, [folder], tmp_path / "out", **options)
    assert (result.images, result.videos, result.frames) == (0, 1, 4)
    lines = lines_of(tmp_path / "out" / "videos" / "in.jsonl")
    together = list(detector.video(moving(4), **options))
    for line, found in zip(lines, together, strict=True):
        boxes = [d["box"] for d in line["detections"]]
        torch.testing.assert_close(torch.tensor(boxes), found.boxes, rtol=0, atol=0.006)
    single = predict(detector, [folder], tmp_path / "single", as_video=False, **options)
    assert (single.images, single.videos) == (4, 0)


def test_what_was_found_is_painted_where_it_is(film, tmp_path):
    path = film(tmp_path / "clip.mkv", moving(3))
    predict(finder(), [path], tmp_path / "out", enlarge=4)
    frames = list(VideoFile(tmp_path / "out" / "videos" / "clip.mp4"))
    assert all(f.image.shape[-1] == 4 * 96 for f in frames)
    for n, frame in enumerate(frames):
        above = frame.image[:, 79, 4 * (12 + n)].tolist()  # the line above the box, y = 20
        assert above[0] > 150 > above[2] + 50  # yellow
        inside = frame.image[:, 4 * 23, 4 * (13 + n)]
        assert inside.float() == pytest.approx(240, abs=20)


def test_the_index_of_results_reads_as_a_data_set_of_videos(film, tmp_path):
    film(tmp_path / "a.mkv", moving(3))
    film(tmp_path / "b.mkv", moving(2))
    write_frames(tmp_path, moving(1), "still.png")
    result = predict(finder(), [tmp_path], tmp_path / "out", pictures=False)
    assert (result.images, result.videos, result.frames) == (1, 2, 5)
    listed = read_annotations(tmp_path / "out" / "images.json")
    assert listed.image_ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert listed.video is not None
    names = [listed.video.names[v] for v in listed.video.videos]
    assert names == ["still.png", *["a.mkv"] * 3, *["b.mkv"] * 2]
    assert listed.video.frames.tolist() == [0, 0, 1, 2, 0, 1]


def test_a_folder_may_be_a_video_in_the_order_of_its_numbers(tmp_path):
    folder = write_frames(tmp_path / "walk", moving(12))  # f10 sorts before f2 as text
    result = predict(finder(), [folder], tmp_path / "out", as_video=True, rate=5.0)
    assert (result.images, result.videos, result.frames) == (0, 1, 12)
    lines = lines_of(tmp_path / "out" / "videos" / "walk.jsonl")
    assert [line["detections"][0]["box"][0] for line in lines] == [10 + n for n in range(12)]
    _, table = written(tmp_path / "out")
    assert table[9]["file"] == str(folder / "f10.png")
    painted = list(VideoFile(tmp_path / "out" / "videos" / "walk.mp4"))
    assert painted[-1].seconds == pytest.approx(11 / 5, abs=1e-3)
    plain = predict(finder(), [folder], tmp_path / "plain")
    assert (plain.images, plain.videos) == (12, 0)


def test_every_folder_is_a_video_of_its_own(tmp_path):
    write_frames(tmp_path / "in" / "a.mp4", moving(2))  # is no video for all its name
    write_frames(tmp_path / "in" / "b" / "c", moving(3))
    result = predict(finder(), [tmp_path / "in"], tmp_path / "out", as_video=True)
    assert (result.videos, result.frames) == (2, 5)
    found = (tmp_path / "out" / "videos").rglob("*.mp4")
    assert sorted(str(p.relative_to(tmp_path / "out" / "videos")) for p in found) == [
        "a.mp4",
        "b/c.mp4",
    ]


@pytest.mark.parametrize(("here", "given"), [("walk", "."), ("walk/below", "..")])
def test_a_video_has_its_folders_name_from_wherever_it_is_seen(tmp_path, monkeypatch, here, given):
    write_frames(tmp_path / "walk", moving(3))
    (tmp_path / "walk" / "below").mkdir()
    monkeypatch.chdir(tmp_path / here)
    result = predict(finder(), [given], tmp_path / "out", as_video=True, pictures=False)
    assert (result.videos, result.frames) == (1, 3)
    assert [p.name for p in (tmp_path / "out" / "videos").iterdir()] == ["walk.jsonl"]


def truth_of(folder, videos, size=(64, 96)):
    """CocoVID of the frames f1.png ... of a folder, cut into videos of these lengths."""
    images, objects, number = [], [], 0
    for video, length in enumerate(videos, 1):
        for frame in range(length):
            number += 1
            images.append(
                {"id": 50 + number, "file_name": f"f{number}.png", "video_id": video}
                | {"frame_id": frame, "width": size[1], "height": size[0]}
            )
            objects.append(
                {"id": number, "image_id": 50 + number, "category_id": 4, "video_id": video}
                | {"bbox": [9 + number, 20, 6, 6], "area": 36, "iscrowd": 0}
            )
    content = {
        "videos": [{"id": v, "name": f"deep/scene {v}"} for v in range(1, len(videos) + 1)],
        "images": images,
        "annotations": objects,
        "categories": [{"id": 4, "name": "even"}, {"id": 5, "name": "odd"}],
    }
    path = folder.parent / "truth.json"
    path.write_text(json.dumps(content))
    return path


def test_truth_says_which_frames_are_a_video(tmp_path):
    folder = write_frames(tmp_path / "in", moving(7))
    truth = truth_of(folder, [4, 3])
    result = predict(finder(), [folder], tmp_path / "out", truth=truth, as_video=True)
    assert result.counts == {"ignored": 0, "found": 7, "missed": 0, "false": 0}
    rows, _ = written(tmp_path / "out")
    assert [row["image_id"] for row in rows] == list(range(51, 58))
    assert {row["category_id"] for row in rows} == {4}
    videos = tmp_path / "out" / "videos"
    names = ["deep_scene_1", "deep_scene_2"]
    assert [len(lines_of(videos / f"{name}.jsonl")) for name in names] == [4, 3]
    assert [len(list(VideoFile(videos / f"{name}.mp4"))) for name in names] == [4, 3]


def test_frames_of_another_size_than_their_truth_are_refused(tmp_path):
    folder = write_frames(tmp_path / "in", moving(3))
    truth = truth_of(folder, [3], size=(64, 90))
    with pytest.raises(DataError, match=r"f1\.png is 96 x 64 .* annotations say 90 x 64"):
        predict(finder(), [folder], tmp_path / "out", truth=truth, as_video=True)


def test_truth_says_nothing_of_a_video_file(film, tmp_path):
    folder = write_frames(tmp_path / "in", moving(3))
    film(folder / "clip.mkv", moving(2))
    with pytest.raises(DataError, match=r"clip\.mkv: truth speaks of images; give the folder"):
        predict(finder(), [folder], tmp_path / "out", truth=truth_of(folder, [3]))


def test_a_video_may_change_its_size(tmp_path):
    folder = write_frames(tmp_path / "in", [*moving(3), *moving(2, (40, 40)), *moving(1)])
    result = predict(finder(), [folder], tmp_path / "out", as_video=True)
    assert result.detections == 6
    assert "the frames change their size 2 times; no frame was joined" in str(result)
    shapes = {tuple(f.image.shape) for f in VideoFile(tmp_path / "out" / "videos" / "in.mp4")}
    assert len(shapes) == 1


def test_a_video_of_one_frame_is_one(film, tmp_path):
    result = predict(finder(), [film(tmp_path / "a.mkv", moving(1))], tmp_path / "out")
    assert (result.frames, result.detections) == (1, 1)
    assert len(list(VideoFile(tmp_path / "out" / "videos" / "a.mp4"))) == 1


def test_a_video_without_an_object_is_painted(film, tmp_path):
    path = film(tmp_path / "a.mkv", [picture([], (64, 96))] * 3)
    assert predict(finder(), [path], tmp_path / "out").detections == 0
    assert len(list(VideoFile(tmp_path / "out" / "videos" / "a.mp4"))) == 3


def test_a_damaged_video_ends_the_work_and_leaves_no_results(film, tmp_path):
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 140, (20, 3, 64, 96), np.uint8))
    film(tmp_path / "a.mkv", moving(3))
    path = film(tmp_path / "b.mkv", list(noise), "libx264")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"b\.mkv: frame \d+ \(from 0\) is"):
        predict(finder(), [tmp_path], tmp_path / "out")
    left = sorted(p.name for p in (tmp_path / "out").rglob("*.*"))
    assert left == ["a.jsonl", "a.mp4"]
    result = predict(finder(), [tmp_path / "a.mkv", path], tmp_path / "out", keep_going=True)
    assert result.videos == 2
    assert 5 < result.frames < 22
    assert len(result.failed) == 1
    assert "b.mkv: frame" in str(result)
    assert len(list(VideoFile(tmp_path / "out" / "videos" / "b.mp4"))) == result.frames - 3


def test_what_is_no_video_is_left_out_where_the_work_goes_on(film, tmp_path):
    paths = [film(tmp_path / "a.mkv", moving(3)), tmp_path / "b.mp4"]
    paths[1].write_bytes(b"")
    with pytest.raises(DataError, match=r"b\.mp4: cannot be opened"):
        predict(finder(), paths, tmp_path / "out")
    result = predict(finder(), paths, tmp_path / "out", keep_going=True)
    assert (result.videos, result.frames) == (1, 3)
    assert ["b.mp4" in message for message in result.failed] == [True]


def test_a_video_without_a_frame_is_left_out_where_the_work_goes_on(film, tmp_path, monkeypatch):
    monkeypatch.setattr("tinyscope.data.video._decoded", lambda *_: iter(()))
    paths = [film(tmp_path / "a.mkv", moving(3)), write_frames(tmp_path / "in", moving(2))]
    with pytest.raises(DataError, match=r"a\.mkv: not one frame"):
        predict(finder(), paths, tmp_path / "out", as_video=True)
    result = predict(finder(), paths, tmp_path / "out", as_video=True, keep_going=True)
    assert (result.frames, len(result.failed)) == (2, 1)
    assert "a.mkv: not one frame" in str(result)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_a_positive_number(tmp_path, rate):
    with pytest.raises(SettingsError, match=r"rate .* must be a positive number of frames"):
        predict(finder(), [tmp_path], tmp_path / "out", rate=rate)


def test_an_unreadable_frame_of_a_folder_keeps_its_number(tmp_path):
    folder = write_frames(tmp_path / "in", moving(4))
    (folder / "f2.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"f2\.png"):
        predict(finder(), [folder], tmp_path / "out", as_video=True)
    result = predict(finder(), [folder], tmp_path / "out", as_video=True, keep_going=True)
    assert (result.frames, len(result.failed)) == (3, 1)
    lines = lines_of(tmp_path / "out" / "videos" / "in.jsonl")
    assert [line["frame"] for line in lines] == [0, 2, 3]


def test_a_painted_video_replaces_no_input(film, tmp_path):
    (tmp_path / "out" / "videos").mkdir(parents=True)
    path = film(tmp_path / "out" / "videos" / "a.mp4", moving(2), "libx264")
    with pytest.raises(DataError, match=r"a\.mp4: is one of the images and would be replaced"):
        predict(finder(), [path], tmp_path / "out")


def test_memory_does_not_grow_with_a_video(tmp_path, monkeypatch):
    alive, most = set(), 0

    class Counted(torch.Tensor):
        def __del__(self):
            alive.discard(id(self))

    def frames():
        nonlocal most
        for number in range(120):
            image = picture([(5, 5, 9, 9, 200)], (32, 32)).as_subclass(Counted)
            alive.add(id(image))
            most = max(most, len(alive))
            yield Frame(image, number, number / 10)
            del image

    delay = 5
    video = module.OpenVideo(frames(), None)
    place = module.Place("a", tmp_path / "a.jsonl", tmp_path / "a.mp4", None)
    seen = []

    def take(frame, found):
        seen.append(frame.number)
        return frame.number, module.class_layers(found)

    assert module.predict_video(Delayed(delay=delay), video, place, take) == 0
    assert seen == list(range(120))
    assert most <= module.FIRST + delay + 6


def test_numbers_order_names():
    names = ["b2.png", "b10.png", "a.png", "b1.png", "B3.png"]
    ordered = [p.name for p in sorted(map(Path, names), key=by_number)]
    assert ordered == ["a.png", "b1.png", "b2.png", "B3.png", "b10.png"]


def test_a_legend_keeps_its_height_whatever_is_found():
    found = Delayed()._find(picture([(5, 5, 9, 9, 200)]))
    none = replace(found, boxes=found.boxes[:0], scores=found.scores[:0], labels=found.labels[:0])
    heights = {
        module._painted(Frame(picture([]), 0, 0.0), module.class_layers(f), 1).size
        for f in (found, none)
    }
    assert len(heights) == 1
