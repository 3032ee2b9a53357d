import logging

import numpy as np
import pytest
from PIL import Image

from tinyscope.errors import DataError
from tinyscope.formats import yolo, yolo_writer


def picture(path, width=100, height=50, **save):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (width, height)).save(path, **save)


def label(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data.yaml").write_text(
        "names: [car, ship]\ntrain: images/train\nval: images/val\n"
    )
    picture(tmp_path / "images/train/a.png")
    picture(tmp_path / "images/train/b.png", 40, 20)
    label(tmp_path / "labels/train/a.txt", "1 0.5 0.5 0.1 0.2\n\n0 0.25 0.1 0.02 0.04\n")
    label(tmp_path / "labels/train/b.txt", "")
    return tmp_path


def test_fractions_become_pixels(folder):
    table = yolo.read_annotations(folder)
    assert table.names == ("car", "ship")
    assert table.files.tolist() == ["images/train/a.png", "images/train/b.png"]
    assert table.sizes.tolist() == [[50, 100], [20, 40]]
    assert table.offsets.tolist() == [0, 2, 2]
    assert table.labels.tolist() == [1, 0]
    np.testing.assert_allclose(table.boxes, [[45, 20, 55, 30], [24, 4, 26, 6]])
    np.testing.assert_allclose(table.areas, [100, 4])
    assert not table.ignore.any()
    assert table.path(0).is_file()


def test_fractions_are_of_the_upright_image(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(folder / "images/train/a.jpg", 100, 50, exif=exif)
    (folder / "images/train/a.png").unlink()
    table = yolo.read_annotations(folder)
    assert table.sizes[0].tolist() == [100, 50]
    np.testing.assert_allclose(table.boxes[0], [22.5, 40, 27.5, 60])


def test_an_image_without_a_label_file_has_no_objects_and_is_counted(folder, caplog):
    (folder / "labels/train/b.txt").unlink()
    with caplog.at_level(logging.WARNING):
        table = yolo.read_annotations(folder)
    assert len(table) == 2
    assert yolo.missing_labels(table) == 1
    assert "1 of 2 images of split train have no label file" in caplog.text


def test_no_label_file_at_all_is_an_error(folder):
    (folder / "labels").rename(folder / "label")
    with pytest.raises(DataError, match=r"none of the 2 images.*labels/train/a\.txt"):
        yolo.read_annotations(folder)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.1", r"a\.txt, line 2: expected five numbers, .* '0 0\.5 0\.5 0\.1'"),
        ("0 0.5 0.5 0.1 0.1 0.9", "expected five numbers"),
        ("0 0.5 x 0.1 0.1", "expected five numbers"),
        ("0 0.5 nan 0.1 0.1", r"line 2: object '0 0\.5 nan.*not finite"),
        ("2 0.5 0.5 0.1 0.1", r"unknown class; data\.yaml names 0\.\.1"),
        ("-1 0.5 0.5 0.1 0.1", "unknown class"),
        ("0.5 0.5 0.5 0.1 0.1", "unknown class"),
        ("0 0.5 0.5 0 0.1", "not positive"),
        ("0 0.5 0.5 0.1 -0.1", "not positive"),
        ("0 50 25 10 10", "lies outside its image; values must be fractions"),
        ("0 -0.5 0.5 0.1 0.1", "lies outside its image"),
    ],
)
def test_a_malformed_row_is_named_with_its_line(folder, line, words):
    label(folder / "labels/train/a.txt", f"1 0.5 0.5 0.1 0.2\n{line}\n")
    with pytest.raises(DataError, match=words):
        yolo.read_annotations(folder)


def test_the_line_is_counted_in_the_right_file(folder):
    label(folder / "labels/train/b.txt", "\n0 0.5 0.5 0.1 0.1\n\n7 0.5 0.5 0.1 0.1")
    with pytest.raises(DataError, match=r"b\.txt, line 4: object '7 "):
        yolo.read_annotations(folder)


def test_a_box_may_reach_over_the_border(folder):
    label(folder / "labels/train/a.txt", "0 0.0 0.5 0.1 0.2")
    assert yolo.read_annotations(folder).boxes.tolist() == [[-5, 20, 5, 30]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("names: [a", "not valid YAML"),
        ("- a", "must be a mapping"),
        ("train: images/train", "names must be a list or a mapping"),
        ("names: {0: a, 2: b}\ntrain: images/train", r"numbered 0\.\.1, got \[0, 2\]"),
        ("names: [a, a]\ntrain: images/train", "'a' is named twice"),
        ("names: [a, b]\nnc: 3\ntrain: images/train", "nc is 3, but there are 2 names"),
        ("names: [a, b]\ntrain: /etc", "'/etc' .*leads out of"),
        ("names: [a, b]\ntrain: ../../elsewhere", "must lie below"),
        ("names: [a, b]\ntrain: a/../../images", "leads out of"),
        ("names: [a, b]\ntrain: images/none", "is not found"),
        ("names: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_a_wrong_data_yaml_is_named(folder, text, words):
    (folder / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=rf"data\.yaml: .*{words}"):
        yolo.read_annotations(folder)


def test_an_empty_split_is_an_error(folder):
    (folder / "images/val").mkdir()
    with pytest.raises(DataError, match="split val is empty: no images in images/val"):
        yolo.read_annotations(folder, "val")


def test_names_may_be_numbered_and_splits_be_lists_of_folders_or_a_file(folder):
    (folder / "list.txt").write_text("./images/train/b.png\nimages/train/a.png\n")
    (folder / "data.yaml").write_text(
        "names: {1: ship, 0: car}\ntrain: [images/train]\nvalid: list.txt\n"
    )
    assert yolo.read_annotations(folder / "data.yaml").names == ("car", "ship")
    table = yolo.read_annotations(folder, "val")
    assert table.files.tolist() == ["images/train/b.png", "images/train/a.png"]
    assert table.offsets.tolist() == [0, 0, 2]


def test_a_list_may_not_lead_out_of_the_folder(folder):
    (folder / "list.txt").write_text("../secret.png\n")
    (folder / "data.yaml").write_text("names: [a]\ntrain: list.txt\n")
    with pytest.raises(DataError, match=r"list\.txt: file name '\.\./secret\.png'.*leads out"):
        yolo.read_annotations(folder)


def test_exports_that_state_another_place_are_read_where_they_stand(tmp_path):
    (tmp_path / "data.yaml").write_text(
        "path: /home/me/old\nnames: [car]\ntrain: ../train/images\nval: ../valid/images\n"
    )
    picture(tmp_path / "valid/images/a.png")
    label(tmp_path / "valid/labels/a.txt", "0 0.5 0.5 0.5 0.5")
    assert yolo.read_annotations(tmp_path, "val").files.tolist() == ["valid/images/a.png"]


def test_a_folder_with_class_names_alone_is_enough(tmp_path):
    (tmp_path / "classes.txt").write_text("car\nship\n")
    picture(tmp_path / "images/train/a.png")
    label(tmp_path / "labels/train/a.txt", "1 0.5 0.5 0.5 0.5")
    assert yolo.read_annotations(tmp_path).names == ("car", "ship")
    with pytest.raises(DataError, match="nor a folder images/val"):
        yolo.read_annotations(tmp_path, "val")


def test_without_class_names_the_error_says_what_to_write(tmp_path):
    with pytest.raises(DataError, match=r"no class names; looked for data\.yaml"):
        yolo.read_annotations(tmp_path)


def test_labels_stand_beside_images_where_no_folder_is_called_so():
    assert yolo.label_file("a/b.png") == "a/b.txt"
    assert yolo.label_file("images/images/x/b.c.png") == "images/labels/x/b.c.txt"


def test_what_is_written_reads_back_equal(folder, tmp_path):
    table = yolo.read_annotations(folder)
    copy = tmp_path / "copy"
    copy.mkdir()
    left = yolo_writer.write_annotations({"train": table}, copy)
    for old, new in zip(table.files, yolo_writer.stored_files(table, "train"), strict=True):
        (copy / new).parent.mkdir(parents=True, exist_ok=True)
        (copy / new).write_bytes((folder / old).read_bytes())
    again = yolo.read_annotations(copy)
    assert left == {"train": 0}
    assert again.names == table.names
    assert again.labels.tolist() == table.labels.tolist()
    np.testing.assert_allclose(again.boxes, table.boxes, atol=1e-6)


def test_two_images_that_would_share_a_label_file_are_refused(folder):
    picture(folder / "images/train/a.jpg")
    table = yolo.read_annotations(folder)
    with pytest.raises(DataError, match=r"a\.jpg and .*a\.png would share the label file"):
        yolo_writer.stored_files(table, "train")
