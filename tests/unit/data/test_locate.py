import json

import numpy as np
import pytest
from PIL import Image

from tinyscope.data.datasets import coco
from tinyscope.data.locate import locate
from tinyscope.data.names import same_names, shared_images, with_names
from tinyscope.errors import DataError


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (20, 10)).save(path)


def write_coco(path, *files, names=("car",)):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [
            {"id": i, "file_name": f, "width": 20, "height": 10} for i, f in enumerate(files)
        ],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, start=1)],
    }
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("annotations/val.json", ""),
        ("annotations/instances_val.json", "images"),
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/valid.json", "images/val"),
        ("val.json", "val"),
        ("valid/_annotations.coco.json", "valid"),
        ("val/annotations.json", "val/images"),
        ("annotations/val.json", "annotations"),
    ],
)
def test_coco_files_and_their_images_are_found(tmp_path, file, images):
    write_coco(tmp_path / file, "a.png", "sub/b.png")
    picture(tmp_path / images / "a.png")
    picture(tmp_path / images / "sub/b.png")
    table = locate(tmp_path, "val")
    assert table.root == tmp_path / images
    assert table.boxes.tolist() == [[1, 2, 4, 6]]


def test_a_file_finds_its_images_beside_its_folder(tmp_path):
    write_coco(tmp_path / "annotations/mine.json", "a.png")
    picture(tmp_path / "images/a.png")
    assert locate(tmp_path / "annotations/mine.json", "val").root == tmp_path / "images"


def test_the_folder_that_has_all_images_wins(tmp_path):
    write_coco(tmp_path / "train.json", "a.png", "b.png")
    for name in ("a.png", "images/a.png", "images/b.png"):
        picture(tmp_path / name)
    assert locate(tmp_path, "train").root == tmp_path / "images"


def test_the_first_missing_image_is_named_and_all_are_counted(tmp_path):
    write_coco(tmp_path / "train.json", "a.png", "b.png", "c.png")
    with pytest.raises(DataError, match=r"3 of 3 images are missing, the first is a\.png; looked"):
        locate(tmp_path, "train")
    picture(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"2 of 3 images are missing, the first is b\.png"):
        locate(tmp_path, "train")


def test_a_file_without_splits_is_for_training_or_by_name(tmp_path):
    write_coco(tmp_path / "annotations.json", "a.png")
    picture(tmp_path / "a.png")
    assert len(locate(tmp_path, "train")) == 1
    assert len(locate(tmp_path / "annotations.json", "val")) == 1
    with pytest.raises(DataError, match=r"annotations\.json has no splits: name the file itself"):
        locate(tmp_path, "val")


def test_yolo_and_voc_are_found(tmp_path):
    (tmp_path / "y").mkdir()
    (tmp_path / "y/data.yaml").write_text("names: [car]\nval: images/val\n")
    picture(tmp_path / "y/images/val/a.png")
    (tmp_path / "y/labels/val").mkdir(parents=True)
    (tmp_path / "y/labels/val/a.txt").write_text("0 0.5 0.5 0.5 0.5")
    assert locate(tmp_path / "y", "val").boxes.tolist() == [[5, 2.5, 15, 7.5]]
    assert len(locate(tmp_path / "y/data.yaml", "val")) == 1
    picture(tmp_path / "v/val/a.png")
    (tmp_path / "v/val/a.xml").write_text(
        "<annotation><object><name>car</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>5</xmax>"
        "<ymax>7</ymax></bndbox></object></annotation>"
    )
    assert locate(tmp_path / "v", "val").boxes.tolist() == [[1, 2, 4, 6]]


def test_the_error_lists_what_was_looked_for(tmp_path):
    with pytest.raises(
        DataError,
        match=r"no split 'dusk'; looked for annotations/dusk\.json.*data\.yaml.*dusk\.txt",
    ):
        locate(tmp_path, "dusk")
    with pytest.raises(DataError, match="no such file or folder"):
        locate(tmp_path / "none", "train")
    (tmp_path / "a.csv").touch()
    with pytest.raises(DataError, match=r"a\.csv: expected a folder"):
        locate(tmp_path / "a.csv", "train")


def test_a_coco_row_takes_its_images_from_the_folder_given(tmp_path):
    write_coco(tmp_path / "x/y.json", "a.png")
    picture(tmp_path / "elsewhere/a.png")
    assert coco(tmp_path / "x/y.json", tmp_path / "elsewhere").root == tmp_path / "elsewhere"
    with pytest.raises(DataError, match="option `images`"):
        coco(tmp_path / "x/y.json")


@pytest.fixture
def table(tmp_path):
    def make(*names):
        write_coco(tmp_path / "train.json", "a.png", names=names)
        picture(tmp_path / "a.png")
        return locate(tmp_path, "train")

    return make


def test_sets_must_name_the_same_classes_in_one_order(table):
    same_names(table("car", "ship"), table("car", "ship"))
    with pytest.raises(DataError, match=r"only in train: ship; only in val: bus.*data\.names"):
        same_names(table("car", "ship"), table("car", "bus"))
    with pytest.raises(DataError, match="order differs: car, ship and ship, car"):
        same_names(table("car", "ship"), table("ship", "car"))


def test_labels_follow_the_names_given(table):
    old = table("car", "ship")
    new = with_names(old, ["bus", "ship", "car"])
    assert new.labels.tolist() == [2]
    assert [new.names[i] for i in new.labels] == [old.names[i] for i in old.labels]
    assert new.category_ids == (3, 2, 1)
    with pytest.raises(DataError, match="names lack: ship"):
        with_names(old, ["car", "bus"])
    with pytest.raises(DataError, match="differ from each other"):
        with_names(old, ["car", "car", "ship"])


def test_images_in_both_sets_are_counted(table):
    assert shared_images(table("car"), table("car")) == 1


@pytest.mark.parametrize(
    ("name", "split", "images", "boxes"),
    [
        ("aerial_cars", "train", 66, 1994),
        ("aerial_cars", "val", 24, 810),
        ("sirst_v2", "train", 512, 318),
        ("sirst_v2", "val", 256, 180),
        ("sirst_v2", "test", 256, 150),
    ],
)
def test_real_data_is_read_as_it_stands(real_data, name, split, images, boxes):
    table = locate(real_data / name, split)
    assert (len(table), len(table.boxes)) == (images, boxes)
    assert np.isfinite(table.boxes).all()
