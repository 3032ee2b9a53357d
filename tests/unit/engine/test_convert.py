from dataclasses import replace

import numpy as np
import pytest

from tinyscope.data.locate import locate
from tinyscope.data.synthetic import write_synthetic
from tinyscope.engine.convert import convert
from tinyscope.errors import DataError
from tinyscope.formats import coco
from tinyscope.formats.tables import VideoFrames


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    train = write_synthetic(folder, {"train": 6, "val": 3}, seed=3, size=(200, 240))["train"]
    ignore = train.ignore.copy()
    ignore[::4] = True
    coco.write_annotations(replace(train, ignore=ignore), folder / "annotations/train.json")
    return folder


def objects(table):
    """Boxes and labels that are not to be ignored, image by image in the order of their names."""
    for i in np.argsort([str(file).rpartition("/")[2] for file in table.files]):
        rows = table.rows(int(i))
        kept = ~table.ignore[rows]
        yield table.boxes[rows][kept], table.labels[rows][kept].tolist()


def assert_same_objects(table, other):
    for (boxes, labels), (others, other_labels) in zip(objects(table), objects(other), strict=True):
        assert labels == other_labels
        np.testing.assert_allclose(boxes, others, atol=1e-5)


@pytest.mark.parametrize("images", ["link", "copy"])
def test_coco_to_yolo_and_back_keeps_every_object(source, tmp_path, images):
    there = convert(source, tmp_path / "yolo", "yolo", images=images)
    back = convert(tmp_path / "yolo", tmp_path / "coco", "coco", images=images)
    assert list(there.splits) == list(back.splits) == ["train", "val"]
    for split in ("train", "val"):
        table = locate(source, split)
        for folder in ("yolo", "coco"):
            other = locate(tmp_path / folder, split)
            assert other.names == table.names
            assert other.sizes.tolist() == table.sizes.tolist()
            assert_same_objects(table, other)
            assert other.path(0).read_bytes() == table.path(0).read_bytes()
    assert (tmp_path / "yolo/images/train/00000.png").stat().st_nlink == (
        3 if images == "link" else 1
    )


def test_what_yolo_cannot_hold_is_counted_and_said(source, tmp_path):
    table = locate(source, "train")
    done = convert(source, tmp_path / "yolo", "yolo", splits=["train"])
    counts = done.splits["train"]
    assert counts.lost_ignored == counts.ignored == table.ignore.sum()
    assert counts.objects == len(table.boxes) - table.ignore.sum()
    assert f"lost: {counts.ignored} ignored regions, which yolo cannot store" in str(done)


def test_coco_to_coco_loses_nothing(source, tmp_path):
    done = convert(source, tmp_path / "coco", "coco")
    table, other = locate(source, "train"), locate(tmp_path / "coco", "train")
    np.testing.assert_allclose(other.boxes, table.boxes)
    np.testing.assert_allclose(other.areas, table.areas)
    assert np.array_equal(other.ignore, table.ignore)
    assert "lost" not in str(done)


def test_images_can_stay_where_they_are(source, tmp_path):
    convert(source, tmp_path / "coco", "coco", images="none")
    assert not (tmp_path / "coco/images").exists()
    with pytest.raises(DataError, match="images are missing"):
        locate(tmp_path / "coco", "train")


def test_missing_label_files_are_reported(source, tmp_path):
    convert(source, tmp_path / "yolo", "yolo")
    (tmp_path / "yolo/labels/train/00002.txt").unlink()
    done = convert(tmp_path / "yolo", tmp_path / "coco")
    assert done.splits["train"].images_without_label_file == 1
    assert "1 images have no label file" in str(done)


def test_a_target_in_use_or_unwritable_is_refused(source, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is not an empty folder"):
        convert(source, tmp_path)
    with pytest.raises(DataError, match=r"cannot be written"):
        convert(source, tmp_path / "file" / "below")


def test_no_space_left_is_named(source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr("tinyscope.engine.convert._place", full)
    with pytest.raises(DataError, match=r"No space left on device .somewhere.; choose another"):
        convert(source, tmp_path / "yolo", "yolo")


def test_real_data_is_converted(real_data, tmp_path):
    done = convert(real_data / "sirst_v2", tmp_path / "yolo", "yolo", splits=["test"])
    assert done.splits["test"].objects == 150
    assert_same_objects(locate(real_data / "sirst_v2", "test"), locate(tmp_path / "yolo", "test"))


def test_videos_go_through_coco_and_are_counted_where_they_are_lost(source, tmp_path):
    table = locate(source, "train")
    number = np.arange(len(table))
    rows = np.arange(len(table.boxes))
    names = ("a", "b", "still")
    videos = np.minimum(number // 3 + (number == 5), 2)
    video = VideoFrames(names, videos, number, number % 2 == 0, rows)
    coco.write_annotations(replace(table, video=video), tmp_path / "annotations.json")
    for entry in (source / "images").iterdir():
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / entry.name).symlink_to(entry)
    done = convert(
        tmp_path / "annotations.json", tmp_path / "coco", splits=["train"], images="none"
    )
    assert done.splits["train"].lost_videos == 0
    again = coco.read_annotations(tmp_path / "coco/annotations/train.json").video
    assert again is not None
    assert again.frames.tolist() == video.frames.tolist()
    assert again.instances.tolist() == video.instances.tolist()
    assert again.keys.tolist() == video.keys.tolist()
    lost = convert(
        tmp_path / "annotations.json", tmp_path / "yolo", "yolo", splits=["train"], images="none"
    )
    assert lost.splits["train"].lost_videos == 2
    assert "lost: 2 videos, which yolo cannot store" in str(lost)
