import json

import numpy as np
import pytest
from PIL import Image

from tinyscope.data import DATASETS
from tinyscope.errors import DataError


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "tiny/leftImg8bit_trainvaltest/leftImg8bit/train/aachen"
    images.mkdir(parents=True)
    for number in range(2):
        Image.fromarray(np.zeros((64, 128, 3), dtype=np.uint8)).save(images / f"{number}.png")
    row = {"iscrowd": 0, "vis_ratio": 0.8, "height": 11.0}
    write(
        tmp_path,
        {
            "categories": [{"id": 1, "name": "pedestrian"}, {"id": 2, "name": "rider"}],
            "images": [
                {"id": i, "file_name": f"aachen/{i}.png", "height": 64, "width": 128}
                for i in range(2)
            ],
            "annotations": [
                {"id": 0, "image_id": 0, "category_id": 1, "bbox": [1, 2, 4, 11], **row},
                {"id": 1, "image_id": 0, "category_id": 2, "bbox": [20, 2, 4, 11], **row},
                {"id": 2, "image_id": 0, "category_id": 1, "bbox": [40, 2, 4, 11], "ignore": 1},
            ],
        },
    )
    return tmp_path


def write(folder, content):
    file = folder / "tiny/perdestrian_annotations/citypersons_all_train.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def read(folder, **options):
    return DATASETS.build({"name": "tiny_citypersons", "path": str(folder), **options})


def test_pedestrians_are_the_one_class_and_all_else_is_ignored(folder):
    found = read(folder)
    assert found.names == ("pedestrian",)
    assert found.ignore.tolist() == [False, True, True]
    np.testing.assert_array_equal(found.measures["vis_ratio"], [0.8, 0.8, np.nan])
    np.testing.assert_array_equal(found.measures["height"], [11, 11, np.nan])
    assert found.path(1).is_file()
    assert found.notes == ("1 rows of other categories are ignored",)
    assert len(read(folder, keep_empty=False)) == 1
    assert len(read(folder / "tiny")) == 2


def test_what_cannot_be_read_is_named(folder):
    with pytest.raises(DataError, match="no annotations of split val in"):
        read(folder, split="val")
    (folder / "tiny/leftImg8bit_trainvaltest/leftImg8bit/train/aachen/1.png").unlink()
    with pytest.raises(DataError, match="1 of 2 images are missing"):
        read(folder)
    content = {"categories": [{"id": 1, "name": "dog"}], "images": [], "annotations": []}
    write(folder, content | {"images": [{"id": 0, "file_name": "aachen/0.png"}]})
    with pytest.raises(DataError, match="has no category pedestrian, only dog"):
        read(folder)
