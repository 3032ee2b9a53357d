from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyscope.data import DATASETS
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.visdrone import NAMES, read_annotations

LINES = """10,20,5,8,1,1,0,0
30,20,6,8,1,4,0,1,
0,0,50,10,0,0,0,0
40,40,7,8,1,11,0,0
50,40,7,8,0,10,0,0
60,40,0,8,1,2,0,0

70,40,4,8,1,2,1,2
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    part = tmp_path / "VisDrone2019-DET-train"
    for name in ("images", "annotations"):
        (part / name).mkdir(parents=True)
    for name, text in (("b", LINES), ("a", "")):
        Image.fromarray(np.zeros((60, 80, 3), dtype=np.uint8)).save(part / f"images/{name}.jpg")
        (part / f"annotations/{name}.txt").write_text(text)
    return tmp_path


def test_rows_become_objects_or_ignored_regions(folder):
    read = read_annotations(folder)
    assert read.files.tolist() == ["a.jpg", "b.jpg"]
    assert read.offsets.tolist() == [0, 0, 6]
    assert read.names == NAMES
    assert read.names[9] == "motor"
    np.testing.assert_array_equal(read.boxes[0], [10, 20, 15, 28])
    assert read.ignore.tolist() == [False, False, True, True, True, False]
    assert read.labels.tolist() == [0, 3, 0, 0, 9, 1]
    assert read.sizes.tolist() == [[60, 80]] * 2
    assert read.notes == ("1 rows without width or height are left out",)
    assert read.path(0).is_file()


def test_persons_alone_are_one_class(folder):
    read = DATASETS.build({"name": "visdrone", "path": str(folder), "classes": "person"})
    assert read.names == ("person",)
    assert read.boxes[:, 0].tolist() == [10, 0, 70]
    assert read.ignore.tolist() == [False, True, False]


def test_the_folder_of_a_split_may_be_named_itself(folder):
    assert len(read_annotations(folder / "VisDrone2019-DET-train", "val")) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("10,20,5,8,1,1,0", r"line 2: '10,20,5,8,1,1,0' is not x,y,width,height"),
        ("10,20,5,8,1,x,0,0", "line 2: .* is not x,y,width,height"),
        ("10,20,5,8,1,12,0,0", "line 2: .*: its category is none of 0 to 11"),
        ("80,20,5,8,1,1,0,0", "line 2: .*: its box lies outside the image of 80 x 60 pixels"),
    ],
)
def test_a_line_that_cannot_be_right_is_named(folder, line, words):
    file = folder / "VisDrone2019-DET-train/annotations/a.txt"
    file.write_text(f"10,20,5,8,1,1,0,0\n{line}\n")
    with pytest.raises(DataError, match=words):
        read_annotations(folder)


def test_what_is_missing_is_named(folder, tmp_path):
    (folder / "VisDrone2019-DET-train/annotations/a.txt").unlink()
    with pytest.raises(DataError, match=r"a\.txt: cannot be read"):
        read_annotations(folder)
    with pytest.raises(DataError, match=r"no split val in .*VisDrone2019-DET-val"):
        read_annotations(folder, "val")
    with pytest.raises(SettingsError, match="no folder is given"):
        DATASETS.build({"name": "visdrone"})
