"""CocoVID files: what is read of videos, what is refused, what is carried and written."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyscope.engine.sources import fingerprint
from tinyscope.errors import DataError
from tinyscope.formats.coco import read_annotations, write_annotations
from tinyscope.formats.join import join
from tinyscope.formats.tables import Annotations, VideoFrames

MOVING: dict[str, Any] = {
    "videos": [{"id": 9, "name": "sea"}, {"id": 4, "name": "lake"}],
    "images": [
        {"id": 1, "file_name": "s1.png", "video_id": 9, "frame_id": 1, "is_vid_train_frame": True},
        {"id": 2, "file_name": "l0.png", "video_id": 4, "frame_id": 0},
        {"id": 3, "file_name": "s0.png", "video_id": 9, "frame_id": 0, "is_vid_train_frame": False},
        {"id": 4, "file_name": "still.png", "is_vid_train_frame": True},
    ],
    "categories": [{"id": 1, "name": "boat"}],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 1, "bbox": [1, 1, 4, 4], "instance_id": 7},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [2, 1, 4, 4], "instance_id": 7},
        {"id": 3, "image_id": 1, "category_id": 1, "bbox": [9, 9, 4, 4]},
    ],
}


def written(folder: Path, change: Any = None, name: str = "video.json") -> Path:
    content = copy.deepcopy(MOVING)
    if change is not None:
        change(content)
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def video_of(annotations: Annotations) -> VideoFrames:
    assert annotations.video is not None
    return annotations.video


def equal(one: Annotations, other: Annotations) -> bool:
    first, second = vars(video_of(one)), vars(video_of(other))
    return all(np.array_equal(first[key], second[key]) for key in first)


def test_frames_know_their_video_and_number(tmp_path):
    video = video_of(read_annotations(written(tmp_path)))
    assert video.names == ("sea", "lake", "still.png")
    assert video.videos.tolist() == [0, 1, 0, 2]
    assert video.frames.tolist() == [1, 0, 0, 0]
    assert video.keys.tolist() == [True, False, False, True]
    assert video.order.tolist() == [2, 0, 1, 3]


def test_instances_stand_with_the_boxes_of_their_image(tmp_path):
    read = read_annotations(written(tmp_path))
    assert read.annotation_ids.tolist() == [2, 3, 1]
    assert video_of(read).instances.tolist() == [7, -1, 7]


def test_all_frames_are_key_frames_where_none_is_flagged(tmp_path):
    def unflagged(content: dict[str, Any]) -> None:
        for image in content["images"]:
            image.pop("is_vid_train_frame", None)

    assert video_of(read_annotations(written(tmp_path, unflagged))).keys.all()


def test_a_file_without_videos_has_none(tmp_path):
    def still(content: dict[str, Any]) -> None:
        del content["videos"]
        content["images"] = [{"id": i + 1, "file_name": f"{i}.png"} for i in range(4)]

    assert read_annotations(written(tmp_path, still)).video is None


def test_what_is_written_is_read_back_equal(tmp_path):
    read = read_annotations(written(tmp_path))
    write_annotations(read, tmp_path / "again.json")
    again = read_annotations(tmp_path / "again.json")
    assert equal(again, read)
    assert fingerprint(again) == fingerprint(read)
    rows = json.loads((tmp_path / "again.json").read_text())["annotations"]
    assert ["instance_id" in row for row in rows] == [True, False, True]


def test_taking_images_takes_their_frames_and_instances(tmp_path):
    read = read_annotations(written(tmp_path))
    part = read.take(np.array([2, 0]))
    assert video_of(part).frames.tolist() == [0, 1]
    assert video_of(part).instances.tolist() == [7, 7, -1]
    fewer = part.keep(np.array([True, False, True]))
    assert video_of(fewer).instances.tolist() == [7, -1]
    assert video_of(fewer).frames.tolist() == [0, 1]


def test_joined_videos_stay_apart(tmp_path):
    def renamed(content: dict[str, Any]) -> None:
        for image in content["images"]:
            image["file_name"] = "b" + image["file_name"]

    parts = [
        read_annotations(written(tmp_path, change, name))
        for change, name in ((None, "a.json"), (renamed, "b.json"))
    ]
    video = video_of(join(parts))
    assert len(video.names) == 6
    assert video.videos.tolist() == [0, 1, 0, 2, 3, 4, 3, 5]
    assert video.instances.tolist() == [7, -1, 7, 15, -1, 15]


def test_images_joined_with_videos_are_videos_of_one_frame(tmp_path):
    def still(content: dict[str, Any]) -> None:
        del content["videos"]
        content["images"] = [{"id": i + 1, "file_name": f"{i}.png"} for i in range(4)]

    moving = read_annotations(written(tmp_path))
    both = join([read_annotations(written(tmp_path, still, "still.json")), moving])
    video = video_of(both)
    assert video.videos.tolist() == [0, 1, 2, 3, 4, 5, 4, 6]
    assert video.keys[:4].all()
    assert (video.instances[:3] == -1).all()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("frame_id", 0, "image 3: frame_id 0 is used twice in video 9"),
        ("frame_id", -1, "image 1: frame_id -1 is negative"),
        ("video_id", 5, "image 1: video_id 5 is no video of the data set"),
    ],
)
def test_a_frame_that_cannot_be_is_refused(tmp_path, key, value, words):
    def change(content: dict[str, Any]) -> None:
        content["images"][0][key] = value

    with pytest.raises(DataError, match=words):
        read_annotations(written(tmp_path, change))


def test_a_frame_without_its_number_is_refused(tmp_path):
    def change(content: dict[str, Any]) -> None:
        del content["images"][1]["frame_id"]

    with pytest.raises(DataError, match="image 2: the key 'frame_id' is missing"):
        read_annotations(written(tmp_path, change))


def test_frames_of_videos_that_are_not_listed_are_refused(tmp_path):
    with pytest.raises(DataError, match="no videos are listed"):
        read_annotations(written(tmp_path, lambda content: content.pop("videos")))


def test_an_instance_that_is_no_number_of_a_track_is_refused(tmp_path):
    def change(content: dict[str, Any]) -> None:
        content["annotations"][1]["instance_id"] = 1.5

    with pytest.raises(DataError, match=r"annotation 2: instance_id must be a whole number"):
        read_annotations(written(tmp_path, change))
