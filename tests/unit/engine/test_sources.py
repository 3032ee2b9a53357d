import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyscope.engine.sources import locate_splits, open_annotations, open_splits
from tinyscope.errors import SettingsError
from tinyscope.settings import DataSettings


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Splits train and val of one image each, with a box at 10, 12."""
    (tmp_path / "images").mkdir()
    for split in ("train", "val"):
        Image.new("L", (40, 30)).save(tmp_path / "images" / f"{split}.png")
        content = {
            "images": [{"id": 1, "file_name": f"{split}.png", "width": 40, "height": 30}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 12, 5, 4]}],
            "categories": [{"id": 1, "name": "boat"}],
        }
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    return tmp_path


def test_splits_can_be_joined(data):
    settings = DataSettings(train_split="train+val", val_split="none")
    train, validation = open_splits(settings, data)
    assert (len(train), validation) == (2, None)
    assert train.image_ids.tolist() == [1, 2]


def test_boxes_of_files_that_count_from_1_are_moved(data):
    plain = open_annotations(DataSettings(), "train", data)
    moved = open_annotations(DataSettings(first_pixel=1), "train", data)
    np.testing.assert_array_equal(plain.boxes, [[10, 12, 15, 16]])
    np.testing.assert_array_equal(moved.boxes, [[9, 11, 14, 15]])
    np.testing.assert_array_equal(locate_splits(data, "val", 1).boxes, [[9, 11, 14, 15]])


def test_no_data_is_an_error_that_says_how_to_give_some():
    with pytest.raises(SettingsError, match=r"data.train: no data set is given; use --data DIR"):
        open_annotations(DataSettings(), "train", None)
