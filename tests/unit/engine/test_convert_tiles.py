"""Whole images listed as tiles, in the manner of TinyPerson's published files."""

import json

import numpy as np
import pytest

from tinyscope.cli.main import main
from tinyscope.data.locate import locate
from tinyscope.data.synthetic import write_tinyperson
from tinyscope.data.tiles import tiled
from tinyscope.engine.convert import TileCut, convert
from tinyscope.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated") / "tiny_set"
    write_tinyperson(folder, {"train": 2, "test": 1}, seed=1, size=(300, 400))
    return folder


CUT = TileCut("flush", (128, 160), 30)


def test_a_file_of_tiles_lists_the_whole_images_and_counts_from_zero(tiny_set, tmp_path):
    done = convert(tiny_set, tmp_path / "tiles", tiles=CUT)
    assert list(done.splits) == ["train", "test"]
    content = json.loads((tmp_path / "tiles/annotations/train.json").read_text())
    whole = locate(tiny_set, "train")
    expected = tiled(whole, (128, 160), 30)
    assert [i["id"] for i in content["old_images"]] == whole.image_ids.tolist()
    assert "corner" not in content["old_images"][0]
    assert [i["corner"] for i in content["images"]] == expected.windows.tolist()
    assert [i["id"] for i in content["images"]] == list(range(len(expected)))
    rows = content["annotations"]
    assert [row["id"] for row in rows] == list(range(len(rows)))
    assert all(isinstance(row["ignore"], bool) for row in rows)
    assert rows[0]["size"] ** 2 == pytest.approx(rows[0]["area"])
    counts = done.splits["train"]
    assert (counts.tiles, counts.boxes_in_tiles) == (len(expected), len(rows))
    assert f"{len(expected)} tiles with {len(rows)} boxes" in str(done)


def test_tiles_of_a_file_are_read_back_with_their_images(tiny_set, tmp_path):
    convert(tiny_set, tmp_path / "tiles", splits=["train"], tiles=CUT)
    read = locate(tmp_path / "tiles", "train")
    expected = tiled(locate(tiny_set, "train"), (128, 160), 30)
    np.testing.assert_array_equal(read.windows, expected.windows)
    np.testing.assert_allclose(read.boxes, expected.boxes, atol=1e-9)
    np.testing.assert_array_equal(read.ignore, expected.ignore)
    np.testing.assert_array_equal(read.marks["uncertain"], expected.marks["uncertain"])
    assert read.path(0).is_file()
    assert len(list((tmp_path / "tiles/images").rglob("*.jpg"))) == 2  # whole ones, once each
    again = convert(tmp_path / "tiles", tmp_path / "again", splits=["train"])
    assert again.splits["train"].images == len(expected)
    np.testing.assert_array_equal(locate(tmp_path / "again", "train").windows, expected.windows)


def test_boxes_that_no_tile_keeps_are_counted(tiny_set, tmp_path):
    # No overlap: what lies evenly on a seam is in neither tile.
    done = convert(tiny_set, tmp_path / "tiles", tiles=TileCut("trimmed", (64, 64), 0, 0.9))
    missing = done.splits["train"].notes[-1]
    assert missing.endswith(" boxes are in no tile")
    assert missing in str(done)


def test_tiles_that_cannot_be_are_refused(tiny_set, tmp_path):
    with pytest.raises(SettingsError, match="tiles cannot be written as yolo"):
        convert(tiny_set, tmp_path / "a", "yolo", tiles=CUT)
    with pytest.raises(SettingsError, match="tiles: overlap 130 must be"):
        convert(tiny_set, tmp_path / "a", tiles=TileCut("flush", (128, 160), 130))
    assert not (tmp_path / "a").exists()
    convert(tiny_set, tmp_path / "tiles", splits=["train"], tiles=CUT)
    with pytest.raises(DataError, match="its images are tiles already"):
        convert(tmp_path / "tiles", tmp_path / "b", splits=["train"], tiles=CUT)
    with pytest.raises(DataError, match="which yolo cannot say"):
        convert(tmp_path / "tiles", tmp_path / "b", "yolo", splits=["train"])


def test_the_command_cuts_as_the_function_does(tiny_set, tmp_path, capsys):
    options = ["--tiling", "clipped", "--tile", "160x128", "--overlap", "30", "--json", "-"]
    main_arguments = ["convert", str(tiny_set), str(tmp_path / "tiles"), "--split", "train"]
    with pytest.raises(SystemExit) as stopped:
        main([*main_arguments, *options])
    assert stopped.value.code == 0
    told = json.loads(capsys.readouterr().out)
    expected = tiled(locate(tiny_set, "train"), (128, 160), 30, "clipped")
    assert told["splits"]["train"]["tiles"] == len(expected)
    content = json.loads((tmp_path / "tiles/annotations/train.json").read_text())
    assert [i["corner"] for i in content["images"]] == expected.windows.tolist()
