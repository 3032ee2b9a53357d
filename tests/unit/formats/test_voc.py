import numpy as np
import pytest
from PIL import Image

from tinyscope.errors import DataError
from tinyscope.formats import voc


def xml(path, *objects, file="a.jpg"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation>\n<filename>{file}</filename>\n" + "\n".join(objects) + "\n</annotation>"
    )


def thing(name="car", box=(11, 21, 31, 26), extra=""):
    corners = "".join(
        f"<{tag}>{value}</{tag}>"
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{extra}<bndbox>{corners}</bndbox></object>"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text("a\nb  1\n")
    (tmp_path / "ImageSets/Main/val.txt").write_text("c\n")
    for name in "abc":
        Image.new("RGB", (100, 50)).save(tmp_path / f"JPEGImages/{name}.jpg")
    xml(
        tmp_path / "Annotations/a.xml",
        thing(extra="<difficult>0</difficult>"),
        thing("boat", (1, 1, 101, 51), "<difficult>1</difficult>"),
    )
    xml(tmp_path / "Annotations/b.xml", file="wrong.jpg")
    xml(tmp_path / "Annotations/c.xml", thing("ant", extra="<ignore>1</ignore>"))
    return tmp_path


@pytest.mark.parametrize(("height", "width"), [(50, 100), (0, 0), (0, 100)])
def test_the_stated_size_may_be_right_or_left_open(folder, height, width):
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    xml(folder / "Annotations/a.xml", size, thing())
    assert voc.read_annotations(folder).sizes.tolist() == [[50, 100], [50, 100]]


def test_a_size_that_the_image_does_not_have_is_refused(folder):
    xml(folder / "Annotations/a.xml", "<size><width>50</width><height>100</height></size>", thing())
    with pytest.raises(DataError, match=r"a\.xml: states 50 x 100 pixels, but .* has 100 x 50"):
        voc.read_annotations(folder)


def test_corners_count_from_one(folder):
    table = voc.read_annotations(folder)
    assert table.boxes.tolist() == [[10, 20, 30, 25], [0, 0, 100, 50]]
    assert table.files.tolist() == ["JPEGImages/a.jpg", "JPEGImages/b.jpg"]
    assert table.sizes.tolist() == [[50, 100], [50, 100]]
    assert table.offsets.tolist() == [0, 2, 2]


def test_corners_may_count_from_zero_or_name_the_last_pixel(folder):
    assert voc.read_annotations(folder, one_based=False).boxes[0].tolist() == [11, 21, 31, 26]
    assert voc.read_annotations(folder, inclusive=True).boxes[0].tolist() == [10, 20, 31, 26]


def test_difficult_and_ignored_objects_become_ignore(folder):
    assert voc.read_annotations(folder).ignore.tolist() == [False, True]
    assert voc.read_annotations(folder, "val").ignore.tolist() == [True]


def test_classes_are_those_of_all_splits_sorted(folder):
    for split in ("train", "val"):
        assert voc.read_annotations(folder, split).names == ("ant", "boat", "car")
    assert voc.read_annotations(folder).labels.tolist() == [2, 1]


def test_classes_can_be_given_or_stand_in_a_file(folder):
    assert voc.read_annotations(folder, names=["car", "boat"]).labels.tolist() == [0, 1]
    (folder / "classes.txt").write_text("boat\ncar\nant\n")
    assert voc.read_annotations(folder).names == ("boat", "car", "ant")
    with pytest.raises(DataError, match=r"a\.xml, line 4: class 'boat' is none of car, dog"):
        voc.read_annotations(folder, names=["car", "dog"])


def test_xml_beside_images_in_a_folder_of_the_split(tmp_path):
    xml(tmp_path / "valid/a.xml", thing())
    (tmp_path / "valid/a.jpg.aux.xml").write_text("<PAMDataset/>")
    Image.new("RGB", (100, 50)).save(tmp_path / "valid/a.jpg")
    assert voc.read_annotations(tmp_path, "val").files.tolist() == ["valid/a.jpg"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (thing(box=(11, 21, 11, 26)), r"line 3: box \[11\.0.*empty or turned around.*inclusive"),
        (thing(box=(11, 21, 31, 16)), "turned around"),
        (thing(box=("nan", 21, 31, 26)), "xmin must be a number, got 'nan'"),
        (thing(box=("", 21, 31, 26)), "xmin must be a number, got ''"),
        (thing(box=(201, 21, 231, 26)), "lies outside its image of 100 x 50 pixels"),
        (thing(name=" "), "object has no name"),
        (thing(extra="<difficult>yes</difficult>"), "difficult must be 0 or 1, got 'yes'"),
        ("<object><name>car</name></object>", "xmin must be a number, got None"),
        ("<object>", "line 4: is not valid XML .mismatched tag"),
    ],
)
def test_a_malformed_object_is_named_with_its_line(folder, entry, words):
    xml(folder / "Annotations/a.xml", entry)
    with pytest.raises(DataError, match=rf"a\.xml, .*{words}"):
        voc.read_annotations(folder)


def test_entities_are_refused(folder):
    bomb = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;">]><annotation>&y;</annotation>'
    (folder / "Annotations/a.xml").write_text(bomb)
    with pytest.raises(DataError, match=r"a\.xml, line 1: declares an entity"):
        voc.read_annotations(folder)


def test_names_may_not_lead_out_of_the_folder(folder):
    xml(folder / "Annotations/a.xml", file="../../secret.jpg")
    with pytest.raises(DataError, match=r"'\.\./\.\./secret\.jpg'.*leads out"):
        voc.read_annotations(folder)
    (folder / "ImageSets/Main/train.txt").write_text("../a\n")
    with pytest.raises(DataError, match=r"train\.txt: file name '\.\./a'"):
        voc.read_annotations(folder)


def test_missing_files_are_named(folder):
    (folder / "JPEGImages/b.jpg").unlink()
    with pytest.raises(DataError, match=r"b\.xml: its image is missing.*JPEGImages"):
        voc.read_annotations(folder)
    (folder / "Annotations/a.xml").unlink()
    with pytest.raises(DataError, match=r"a\.xml: cannot be read"):
        voc.read_annotations(folder)
    with pytest.raises(DataError, match=r"no split .test. in VOC layout; looked for ImageSets"):
        voc.read_annotations(folder, "test")


def test_an_empty_list_and_a_set_without_objects_are_errors(folder):
    (folder / "ImageSets/Main/val.txt").write_text("\n")
    with pytest.raises(DataError, match="split val is empty"):
        voc.read_annotations(folder, "val")
    for name in "abc":
        xml(folder / f"Annotations/{name}.xml")
    with pytest.raises(DataError, match="no XML file names an object; set names"):
        voc.read_annotations(folder)
    table = voc.read_annotations(folder, names=["car"])
    assert (table.boxes.shape, table.labels.dtype) == ((0, 4), np.int64)
