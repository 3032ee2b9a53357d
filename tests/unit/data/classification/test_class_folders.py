"""Folders and archives of class folders: the same images in the same order, errors that name."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from tinyscope.data.classification import labeled
from tinyscope.data.classification.archive import archive
from tinyscope.data.classification.folders import folder
from tinyscope.data.classification.labeled import ImageFiles, StoredImages
from tinyscope.data.classification.locate import has_split, locate
from tinyscope.errors import DataError

CLASSES = {"cat": 3, "dog": 2}


def picture(seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "png")
    return content.getvalue()


def members():
    """File names and contents of a small set."""
    return {
        f"{split}/{name}/{i}.png": png(picture(1000 * s + 10 * c + i))
        for s, split in enumerate(("train", "val"))
        for c, (name, count) in enumerate(CLASSES.items())
        for i in range(count)
    }


def unpacked(files, place):
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def packed(files, place, top=""):
    with zipfile.ZipFile(place, "w") as made:
        for name, content in files.items():
            made.writestr(top + name, content)
    return place


@pytest.mark.parametrize("form", ["folder", "archive", "archive inside one folder", "around it"])
def test_every_form_gives_the_same_images(tmp_path, form):
    place = {
        "folder": lambda: unpacked(members(), tmp_path / "set"),
        "archive": lambda: packed(members(), tmp_path / "set.zip"),
        "archive inside one folder": lambda: packed(members(), tmp_path / "set.zip", "pets/"),
        "around it": lambda: packed(members(), tmp_path / "set.zip").parent,
    }[form]()
    images = locate(place, "train")
    assert isinstance(images, StoredImages)
    assert images.names == ("cat", "dog")
    assert images.labels.tolist() == [0, 0, 0, 1, 1]
    assert images.file(3).endswith("train/dog/0.png")
    (taken,) = images.take(np.array([3, 0]))
    expected = [np.asarray(picture(10)), np.asarray(picture(0))]
    assert (taken.permute(0, 2, 3, 1).numpy() == np.stack(expected)).all()
    assert len(locate(place, "val")) == 5
    assert has_split(place, "val")
    assert not has_split(place, "test")
    with pytest.raises(DataError, match="test"):
        locate(place, "test")


def test_a_split_goes_by_its_other_names(tmp_path):
    files = {name.replace("val/", "validation/"): content for name, content in members().items()}
    unpacked(files, tmp_path / "set")
    packed(files, tmp_path / "set.zip", "pets/")
    for images in (locate(tmp_path / name, "val") for name in ("set", "set.zip")):
        assert len(images) == 5
        assert images.split == "validation"


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16"])
def test_images_of_any_mode_become_three_planes(tmp_path, mode):
    files = members()
    image = picture(5)
    if mode == "I;16":
        image = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    files["train/cat/0.png"] = png(image if mode == "I;16" else image.convert(mode))
    (taken,) = archive(packed(files, tmp_path / "set.zip")).take(np.array([0]))
    assert taken.shape == (1, 3, 8, 8)
    if mode in ("L", "I;16"):
        assert (taken[0, 0] == taken[0, 2]).all()


def test_images_of_several_sizes_stay_in_their_files(tmp_path):
    files = members()
    files["train/dog/1.png"] = png(picture(5, size=(12, 10)))
    images = folder(unpacked(files, tmp_path))
    assert isinstance(images, ImageFiles)
    assert images.known_sizes() == {(8, 8): 0, (10, 12): 4}
    assert [part.shape for part in images.take(np.array([4, 0]))] == [(1, 3, 10, 12), (1, 3, 8, 8)]


def test_sets_that_would_not_fit_in_memory_stay_in_their_files(tmp_path):
    found = folder(unpacked(members(), tmp_path))
    (one,) = found.take(np.array([0]))
    numbers = [str(i) for i in range(5)]
    files = ImageFiles(numbers, found.labels, found.names, lambda _: one[0], "train")
    assert isinstance(labeled.kept(files, limit=5 * 3 * 64), StoredImages)
    assert labeled.kept(files, limit=5 * 3 * 64 - 1) is files
    assert files.known_sizes() == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: {n: c for n, c in f.items() if "train" not in n}, "no folder train or training"),
        (lambda f: {"train/1.png": f["train/cat/0.png"]}, "holds no class folders"),
        (
            lambda f: f | {"train/9.PNG": f["train/cat/0.png"]},
            r"train/?: 9\.PNG lies in no class folder \(1 such",
        ),
        (
            lambda f: f | {"train/horse/notes.txt": b""},
            "no images in the class folder 'horse'",
        ),
        (lambda f: f | {"train/cat/0.png": b"no image"}, r"train/cat/0\.png is not in a format"),
        (lambda f: f | {"train/cat/0.png": b""}, r"train/cat/0\.png is empty"),
        (
            lambda f: f | {"train/cat/0.png": f["train/cat/0.png"][:90]},
            "truncated or damaged .* take it out of the data set",
        ),
    ],
)
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_set_that_is_not_right_is_named(tmp_path, form, change, words):
    files = change(members())
    read = {"folder": folder, "archive": archive}[form]
    place = tmp_path / ("set" if form == "folder" else "set.zip")
    (unpacked if form == "folder" else packed)(files, place)
    with pytest.raises(DataError, match=words):
        read(place)


def test_an_empty_class_folder_is_refused(tmp_path):
    (unpacked(members(), tmp_path / "set") / "train" / "horse").mkdir()
    with pytest.raises(DataError, match="no images in the class folder 'horse'"):
        folder(tmp_path / "set")
    with zipfile.ZipFile(packed(members(), tmp_path / "set.zip"), "a") as archived:
        archived.mkdir("train/horse")
    with pytest.raises(DataError, match="no images in the class folder 'horse'"):
        archive(tmp_path / "set.zip")


def test_other_files_beside_the_classes_do_no_harm(tmp_path):
    files = members() | {"train/labels.csv": b"", "README.md": b"", "__MACOSX/train/._x/1.png": b""}
    for start in ("", "pets/"):
        assert len(archive(packed(files, tmp_path / "set.zip", start))) == 5
    del files["__MACOSX/train/._x/1.png"]
    assert len(folder(unpacked(files, tmp_path / "set"))) == 5


@pytest.mark.parametrize("joined", ["train+val", "val+test"])
def test_splits_are_not_joined(tmp_path, joined):
    place = packed(members(), tmp_path / "set.zip")
    for read in (archive, locate):
        with pytest.raises(DataError, match=rf"splits .* not joined, {joined[:3]}.* not offered"):
            read(place, joined)
    with pytest.raises(DataError, match="not joined"):
        folder(unpacked(members(), tmp_path / "set"), joined)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more"])
def test_a_damaged_archive_is_refused(tmp_path, content):
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"set\.zip: no zip archive, or a damaged one"):
        locate(tmp_path / "set.zip")


def test_a_member_whose_checksum_is_wrong_is_named(tmp_path):
    content = bytearray(packed(members(), tmp_path / "set.zip").read_bytes())
    content[content.index(b"IDAT") + 8] ^= 255
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"train/cat/0\.png cannot be read \(Bad CRC"):
        archive(tmp_path / "set.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_compressed_member_is_named(tmp_path, method):
    image = png(picture(0))
    with zipfile.ZipFile(tmp_path / "set.zip", "w", method) as made:
        for name in ("train/a/0.png", "train/b/0.png"):
            made.writestr(name, image)
        start = made.getinfo("train/a/0.png").header_offset
        length = made.getinfo("train/a/0.png").compress_size
    content = bytearray((tmp_path / "set.zip").read_bytes())
    first = content.index(b"train/a/0.png", start) + len("train/a/0.png")
    content[first + 4 : first + length] = b"\xff" * (length - 4)
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"train/a/0\.png cannot be read \("):
        archive(tmp_path / "set.zip")


def test_what_was_looked_for_is_listed(tmp_path):
    with pytest.raises(
        DataError, match=r"train/CLASS/ or training/CLASS/.*data_batch_1\.bin.*ImageNet32"
    ):
        locate(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        locate(tmp_path / "absent")
