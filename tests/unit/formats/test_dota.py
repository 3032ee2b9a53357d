import numpy as np
import pytest
from PIL import Image

from tinyscope.data import DATASETS
from tinyscope.errors import DataError
from tinyscope.formats.dota import NAMES, read_annotations

LINES = """imagesource:GoogleEarth
gsd:0.146
10 20 16 18 18 24 12 26 ship 0
30.0 20.0 36.0 20.0 36.0 28.0 30.0 28.0 helipad 1
5 5 5 9 5 9 5 5 plane 0

90 70 95 70 95 75 90 75 plane 0
40 40 50 40 50 45 40 45 plane
"""


@pytest.fixture
def folder(tmp_path):
    part = tmp_path / "train"
    for name in ("images", "labelTxt-v2.0"):
        (part / name).mkdir(parents=True)
    for name, text in (("b", LINES), ("a", "")):
        Image.fromarray(np.zeros((60, 80, 3), dtype=np.uint8)).save(part / f"images/{name}.png")
        (part / f"labelTxt-v2.0/{name}.txt").write_text(text)
    return tmp_path


def test_turned_boxes_become_the_upright_boxes_around_them(folder):
    read = DATASETS.build({"name": "dota", "path": str(folder)})
    assert read.files.tolist() == ["a.png", "b.png"]
    assert read.offsets.tolist() == [0, 0, 3]
    assert read.boxes.tolist() == [[10, 18, 18, 26], [30, 20, 36, 28], [40, 40, 50, 45]]
    assert [NAMES[label] for label in read.labels] == ["ship", "helipad", "plane"]
    assert read.ignore.tolist() == [False, True, False]
    assert read.sizes.tolist() == [[60, 80]] * 2
    assert read.notes == ("2 rows without area or wholly outside of their image are left out",)


def test_the_folder_of_a_split_may_be_named_itself(folder):
    assert len(read_annotations(folder / "train", labels="labelTxt-v2.0")) == 2
    with pytest.raises(
        DataError, match=r"DOTA: no split val in .*; looked for images and labelTxt"
    ):
        read_annotations(folder, "val")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 2 3 4 5 6 7 ship 0", r"b\.txt, line 1: '1 2 3 4 5 6 7 ship 0' is not x1 y1"),
        ("1 2 3 4 5 6 7 nan ship 0", "is not x1 y1"),
        ("1 2 3 4 5 6 7 8 boat 0", "'boat' is no category of DOTA"),
    ],
)
def test_a_wrong_line_is_named(folder, line, words):
    (folder / "train/labelTxt-v2.0/b.txt").write_text(line)
    with pytest.raises(DataError, match=words):
        read_annotations(folder)
