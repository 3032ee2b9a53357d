"""`tinyscope analyze data`, from Python and from the terminal."""

import json

import pytest

import tinyscope
from tinyscope.cli.main import main
from tinyscope.engine.analyze_data import analyze_data
from tinyscope.errors import SettingsError

RARE, COMMON, NONE = 1, 2, 3


def written(path, *, video=False):
    """Twenty images of one common object each, one with a rare one, and an empty one; of a class
    there is no example. As a video every other image is trained on, and one track is common."""
    images = [{"id": i, "file_name": f"{i}.png", "width": 90, "height": 60} for i in range(21)]
    rows = [{"image_id": i, "category_id": COMMON, "bbox": [1, 1, 4, 9]} for i in range(20)]
    rows += [{"image_id": 0, "category_id": RARE, "bbox": [5, 5, 40, 40]}]
    rows += [{"image_id": 1, "category_id": RARE, "bbox": [5, 5, 9, 9], "iscrowd": 1}]
    for i, row in enumerate(rows):
        row["id"] = i + 1
        if video:
            row |= {"instance_id": 1 if row["category_id"] == COMMON else 2, "video_id": 1}
    names = {RARE: "rare", COMMON: "common", NONE: "none"}
    content = {
        "images": images,
        "annotations": rows,
        "categories": [{"id": i, "name": name} for i, name in names.items()],
    }
    if video:
        content["videos"] = [{"id": 1, "name": "one"}]
        for i, image in enumerate(images):
            image |= {"video_id": 1, "frame_id": i, "is_vid_train_frame": i % 2 == 0}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def data(tmp_path):
    return written(tmp_path / "data.json")


def test_a_set_is_counted_and_its_classes_are_parted(data):
    report = analyze_data(data)
    assert (report.images, report.empty, report.objects) == (21, 1, 21)
    assert (report.ignored, report.most) == (1, 2)
    assert report.sizes["2-8 px"] == 20
    assert report.sizes["> 32 px"] == 1
    assert [(c.name, c.objects, c.images) for c in report.classes] == [
        ("rare", 1, 1),
        ("common", 20, 20),
        ("none", 0, 0),
    ]
    assert report.absent == ("none",)
    assert report.settings == ("model.roi.head.groups=[[0, 2], [1]]",)
    assert "classes without an example: none" in report.table
    assert "--set 'model.roi.head.groups=[[0, 2], [1]]'" in report.table


def test_of_a_video_the_frames_trained_on_are_counted(tmp_path):
    report = analyze_data(written(tmp_path / "video.json", video=True))
    assert report.images == 11
    assert report.videos is not None
    assert (report.videos.videos, report.videos.frames, report.videos.tracks) == (1, 21, 2)
    assert "videos: 1, of 21 frames, 21 in all; " in report.table
    assert [(c.objects, c.tracks) for c in report.classes] == [(1, 1), (10, 1), (0, 0)]
    assert "tracks" in report.table
    by_tracks = analyze_data(tmp_path / "video.json", by="tracks", edges=[1])
    assert by_tracks.proposal.groups == ((2,), (0, 1))


def test_of_a_video_without_key_frames_all_frames_are_counted(tmp_path):
    content = json.loads(written(tmp_path / "video.json", video=True).read_text())
    for image in content["images"]:
        image["is_vid_train_frame"] = False
    (tmp_path / "video.json").write_text(json.dumps(content))
    report = analyze_data(tmp_path / "video.json")
    assert (report.images, report.objects) == (21, 21)
    assert "none is marked to be trained on, and all are counted here" in report.table


def test_the_heads_and_the_order_of_classes_are_those_of_the_recipe(data):
    overrides = ["data.names=[none, common, rare]"]
    report = analyze_data(data, recipe="quick/small", overrides=overrides)
    assert report.settings == ("model.head.groups=[[0, 2], [1]]",)
    assert report.classes[0].name == "none"


def test_the_proposed_setting_is_taken_by_the_recipe(data):
    [setting] = analyze_data(data, recipe="quick/faster_rcnn").settings
    model = tinyscope.load_recipe("quick/faster_rcnn", [setting]).model
    assert model["roi"]["head"]["groups"] == [[0, 2], [1]]


@pytest.mark.parametrize("edges", [[], [0, 5], [10, 10], [10, 5]])
def test_edges_must_ascend(data, edges):
    with pytest.raises(SettingsError, match=r"^edges \["):
        analyze_data(data, edges=edges)


def test_tracks_must_be_known(data):
    with pytest.raises(SettingsError, match=r"by tracks: .* follows no objects"):
        analyze_data(data, by="tracks")


def test_tracks_of_every_class_must_be_known(tmp_path):
    content = json.loads(written(tmp_path / "video.json", video=True).read_text())
    for row in content["annotations"]:
        if row["category_id"] == RARE:
            del row["instance_id"]
    (tmp_path / "video.json").write_text(json.dumps(content))
    with pytest.raises(SettingsError, match="follows no objects of rare through videos"):
        analyze_data(tmp_path / "video.json", by="tracks")


def test_the_command_prints_the_table_or_json(data, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["analyze", "data", str(data), "--edges", "5,15", "--json", "-"])
    assert not caught.value.code
    content = json.loads(capsys.readouterr().out)
    assert content["proposal"] == {
        "groups": [[0, 2], [1]],
        "edges": [5, 15],
        "reason": "the edges that were asked for",
    }
    assert content["settings"] == ["model.roi.head.groups=[[0, 2], [1]]"]
    with pytest.raises(SystemExit):
        main(["analyze", "data", str(data)])
    assert capsys.readouterr().out == tinyscope.analyze_data(data).table + "\n"
    with pytest.raises(SystemExit):
        main(["analyze", "data", str(data), "--edges", "5,x"])
    assert "--edges 5,x: must be whole numbers" in capsys.readouterr().err
