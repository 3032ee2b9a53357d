import json
from pathlib import Path

import pytest
from PIL import Image

from tinyscope.data import DATASETS
from tinyscope.errors import DataError
from tinyscope.formats.ai_tod import NAMES

ROWS = [
    {"id": 1, "image_id": 4, "category_id": 6, "bbox": [10, 20, 8, 6], "area": 48, "iscrowd": 0},
    {"id": 2, "image_id": 4, "category_id": 1, "bbox": [40, 20, 0.5, 6], "area": 3, "iscrowd": 0},
    {"id": 3, "image_id": 4, "category_id": 1, "bbox": [60, 20, 5, 6], "area": 30, "ignore": 1},
]


def written(file: Path, names: tuple[str, ...] = NAMES) -> None:
    """Two images, the second empty; categories from 1 in the order of `names`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pictures = [
        {"id": i, "file_name": f"{i}.png", "width": 800, "height": 800, "license": None}
        for i in (4, 9)
    ]
    categories = [{"id": k, "name": name} for k, name in enumerate(names, 1)]
    content = {"images": pictures, "annotations": ROWS, "categories": categories}
    file.write_text(json.dumps(content))


def pictured(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in (4, 9):
        Image.new("L", (800, 800)).save(folder / f"{number}.png")


def read(path: Path, **options):
    return DATASETS.build({"name": "ai_tod", "path": str(path), **options})


@pytest.mark.parametrize(
    ("version", "file", "images"),
    [
        (1, "annotations/small_trainval_v1_1.0.json", "trainval"),
        (1, "aitod/annotations/aitod_trainval_v1.json", "aitod/images/trainval"),
        (2, "annotations/aitodv2_trainval.json", "trainval/images"),
    ],
)
def test_both_versions_are_found_in_the_published_layouts(tmp_path, version, file, images):
    written(tmp_path / file)
    pictured(tmp_path / images)
    found = read(tmp_path, version=version)
    assert found.names == NAMES
    assert found.root == tmp_path / images
    assert found.labels.tolist() == [5, 0, 0]
    assert found.ignore.tolist() == [False, False, True]
    with pytest.raises(DataError, match=f"no annotations of version {3 - version} of split"):
        read(tmp_path, version=3 - version)


def test_labels_count_in_the_order_of_the_file(tmp_path):
    written(tmp_path / "annotations/aitod_test_v1.json", NAMES[::-1])
    pictured(tmp_path / "test")
    found = read(tmp_path, split="test")
    assert found.names == NAMES[::-1]
    assert found.labels.tolist() == [5, 0, 0]


def test_published_training_leaves_out_what_is_ignored_too_small_or_empty(tmp_path):
    written(tmp_path / "annotations/aitod_trainval_v1.json")
    pictured(tmp_path / "trainval")
    found = read(tmp_path, ignored="drop", least_side=1, keep_empty=False)
    assert found.boxes.tolist() == [[10, 20, 18, 26]]
    assert found.image_ids.tolist() == [4]
    assert found.notes == (
        "1 rows with a side below 1 px are left out",
        "1 rows marked ignore are dropped, and so background",
        "1 images without objects are left out",
    )


def test_other_categories_and_splits_are_refused(tmp_path):
    written(tmp_path / "annotations/aitod_test_v1.json", ("car", *NAMES[1:]))
    pictured(tmp_path / "test")
    with pytest.raises(DataError, match=r"has the categories car, .* those of AI-TOD are airplane"):
        read(tmp_path, split="test")
    with pytest.raises(DataError, match="no split 'tests'; did you mean test"):
        read(tmp_path, split="tests")
    with pytest.raises(DataError, match=r"no images of split test in .*; looked for test/images"):
        read(tmp_path / "annotations", split="test", annotations=str(tmp_path / "a.json"))
