"""ILSVRC's files to CocoVID files: what is refused, left out, and read back."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tinyscope.cli.main import app
from tinyscope.data.benchmarks import imagenet_vid
from tinyscope.engine.convert_imagenet import convert_imagenet_vid
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.imagenet_vid import CLASSES

CAR, DOG, FOOD = "n02958343", "n02084071", "n07697537"


def xml(*objects: tuple[int, str, tuple[int, int, int, int]], size: tuple[int, int] = (60, 90)):
    """An XML file as ILSVRC has them; objects are track, WordNet id and corners."""
    height, width = size
    parts = [f"<size><width>{width}</width><height>{height}</height></size>"]
    for track, name, (x1, y1, x2, y2) in objects:
        parts.append(
            f"<object><trackid>{track}</trackid><name>{name}</name><bndbox><xmax>{x2}</xmax>"
            f"<xmin>{x1}</xmin><ymax>{y2}</ymax><ymin>{y1}</ymin></bndbox>"
            "<occluded>1</occluded><generated>0</generated></object>"
        )
    return f"<annotation>{''.join(parts)}</annotation>"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def source(tmp_path) -> Path:
    """Two videos to train on, one of a single frame, and three stills."""
    folder = tmp_path / "ILSVRC"
    vid, det = "Annotations/VID", "Annotations/DET/train/ILSVRC2013_train"
    write(
        folder,
        {
            "Lists/VID_train_15frames.txt": "train/a 1 1 3\ntrain/a 1 3 3\ntrain/b 1 1 1\n",
            "Lists/DET_train_30classes.txt": "train/ILSVRC2013_train/n1/x 1\n",
            f"{vid}/train/a/000000.xml": xml((4, CAR, (1, 2, 11, 22)), (0, FOOD, (0, 0, 9, 9))),
            f"{vid}/train/a/000001.xml": xml(),
            f"{vid}/train/a/000002.xml": xml((4, CAR, (3, 2, 13, 22)), (5, DOG, (5, 5, 5, 9))),
            f"{vid}/train/b/000000.xml": xml((4, DOG, (1, 1, 9, 9))),
            f"{det}/n1/x.xml": xml((0, DOG, (0, 0, 8, 8)), (0, FOOD, (9, 9, 20, 20))),
            f"{det}/n1/y.xml": xml((0, FOOD, (1, 1, 4, 4))),
            f"{det}/n2/z.xml": xml(size=(20, 20)),
        },
    )
    for kind in ("VID", "DET"):
        for path in (folder / "Annotations" / kind).rglob("*.xml"):
            name = path.relative_to(folder / "Annotations").with_suffix(".JPEG").as_posix()
            write(folder, {f"Data/{name}": ""})
    return folder


def test_what_is_converted_is_read_and_trained_on(source):
    done = convert_imagenet_vid(source, source / "annotations")
    counts = done.files["imagenet_vid_train.json"]
    assert (counts.videos, counts.images, counts.key_frames) == (2, 4, 3)
    assert (counts.objects, counts.left_out) == (4, 1)
    assert "imagenet_vid_train.json: 2 videos, 4 images, 3 key frames, 4 objects" in str(done)
    read = imagenet_vid(source)
    assert read.video is not None
    assert read.names == tuple(CLASSES.values())
    assert read.video.names == ("train/a", "train/b")
    assert read.video.frames.tolist() == [0, 1, 2, 0]
    assert read.video.keys.tolist() == [True, False, True, True]
    assert read.video.instances.tolist() == [1, 1, 3]
    assert read.boxes[0].tolist() == [1, 2, 11, 22]
    assert any("1 boxes that cannot be boxes are left out" in note for note in read.notes)


def test_stills_join_the_frames_of_videos(source):
    done = convert_imagenet_vid(source, source / "annotations")
    assert done.files["imagenet_det_30plus1cls.json"].images == 1
    both = imagenet_vid(source, det=True)
    assert both.video is not None
    assert len(both) == 5
    assert both.video.videos.tolist() == [0, 0, 0, 1, 2]
    assert both.path(4) == source / "Data/DET/train/ILSVRC2013_train/n1/x.JPEG"
    assert np.diff(both.offsets).tolist() == [1, 0, 1, 1, 1]
    assert any("1 boxes of other categories are left out" in note for note in both.notes)


def test_all_stills_are_listed_where_asked_for(source, tmp_path):
    done = convert_imagenet_vid(source, tmp_path / "all", all_stills=True)
    counts = done.files["imagenet_det_30plus1cls.json"]
    assert (counts.images, counts.key_frames) == (3, 1)
    names = [
        Path(i["file_name"]).stem
        for i in json.loads((tmp_path / "all/imagenet_det_30plus1cls.json").read_text())["images"]
    ]
    assert names == ["x", "y", "z"]


def test_key_frames_that_cannot_be_trained_on_are_none_and_counted(source):
    write(source, {"Annotations/VID/train/a/000000.xml": xml(size=(60, 90))})
    write(
        source, {"Annotations/VID/train/b/000000.xml": xml((1, CAR, (1, 1, 9, 9)), size=(31, 90))}
    )
    convert_imagenet_vid(source, source / "annotations")
    read = imagenet_vid(source)
    assert read.video is not None
    assert read.video.keys.tolist() == [False, False, True]
    assert "1 images without an object are no key frames" in read.notes
    assert "1 images below 32 px are no key frames" in read.notes
    assert "1 stills that are no key frames are left out" in read.notes


def test_classes_may_be_others(source, tmp_path):
    write(tmp_path, {"classes.txt": f"{FOOD} food\n\n{CAR} car\n"})
    convert_imagenet_vid(source, tmp_path / "out", classes=tmp_path / "classes.txt")
    content = json.loads((tmp_path / "out/imagenet_vid_train.json").read_text())
    assert [c["name"] for c in content["categories"]] == ["food", "car"]
    assert [a["category_id"] for a in content["annotations"]] == [2, 1, 2]


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("Lists/VID_train_15frames.txt", "train/a 1 x 3", "line 1: .* is not a name and 3 whole"),
        ("Lists/VID_train_15frames.txt", "train/a 1 4 3", "frame 4 of 3 in train/a"),
        ("Lists/VID_train_15frames.txt", "../a 1 1 3", "leads out of the data set"),
        ("Lists/VID_train_15frames.txt", "train/a 1 1 4", r"000003\.xml: cannot be read"),
        ("Lists/VID_val_videos.txt", "val/a 1 0 2\nval/a 3 0 2", "val/a is listed twice"),
        ("Annotations/VID/train/a/000001.xml", "<annotation/>", "size/height must be a whole"),
        (
            "Annotations/VID/train/a/000001.xml",
            "<annotation>",
            r"000001\.xml, line 1: is not valid",
        ),
    ],
)
def test_files_that_cannot_be_right_are_named(source, tmp_path, file, text, words):
    write(source, {file: text})
    with pytest.raises(DataError, match=words):
        convert_imagenet_vid(source, tmp_path / "out")


def test_a_folder_without_lists_or_with_the_files_is_refused(source, tmp_path):
    with pytest.raises(DataError, match=r"holds none of VID_train_15frames\.txt"):
        convert_imagenet_vid(source, tmp_path / "out", lists=tmp_path)
    with pytest.raises(DataError, match="cannot be made: "):
        convert_imagenet_vid(source, source / "Lists/VID_train_15frames.txt")
    # Some file systems take this folder and `annotations`, where the files are looked for, for one.
    convert_imagenet_vid(source, source / "Annotations")
    with pytest.raises(DataError, match=r"holds imagenet_vid_train\.json already"):
        convert_imagenet_vid(source, source / "Annotations")


def test_an_object_of_a_video_without_its_track_is_refused(source, tmp_path):
    frame = xml((4, DOG, (1, 1, 9, 9))).replace("<trackid>4</trackid>", "")
    write(source, {"Annotations/VID/train/b/000000.xml": frame})
    with pytest.raises(DataError, match=r"000000\.xml, line 1: the object has no trackid"):
        convert_imagenet_vid(source, tmp_path / "out")


def test_files_that_say_less_than_converted_ones_are_told_or_taken(source):
    convert_imagenet_vid(source, source / "annotations")
    path = source / "annotations/imagenet_vid_train.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        del image["height"], image["width"]
    path.write_text(json.dumps(content))
    read = imagenet_vid(source)
    assert read.video is not None
    assert read.video.keys.tolist() == [True, False, True, True]
    del content["videos"]
    content["images"] = [{"id": i["id"], "file_name": i["file_name"]} for i in content["images"]]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="lists no videos and flags no is_vid_train_frame; make"):
        imagenet_vid(source)


def test_files_that_are_not_made_yet_are_named_with_what_makes_them(source):
    with pytest.raises(DataError, match=r"no imagenet_vid_val\.json; .*convert --from imagenet"):
        imagenet_vid(source, "val")
    with pytest.raises(SettingsError, match="det adds images to train on"):
        imagenet_vid(source, "val", det=True)


def test_the_command_converts_and_refuses_what_does_not_go_with_it(source, tmp_path):
    out, counts = tmp_path / "out", tmp_path / "counts.json"
    arguments = ["convert", str(source), str(out), "--from", "imagenet-vid"]
    done = CliRunner().invoke(app, [*arguments, "--json", str(counts)])
    assert done.exit_code == 0, done.output
    assert json.loads(counts.read_text())["files"]["imagenet_vid_train.json"]["objects"] == 4
    assert "written to" in done.output
    for wrong in (
        ["--to", "yolo"],
        ["--split", "train"],
        ["--tiling", "flush"],
        ["--zero-based"],
        ["--inclusive"],
        ["--min-visible", "0.5"],
    ):
        assert CliRunner().invoke(app, [*arguments, *wrong]).exit_code == 2
    assert CliRunner().invoke(app, [*arguments[:3], "--all-stills"]).exit_code == 2
