"""CIFAR's binary files and ImageNet32's arrays: planes as they stand, nothing unpickled."""

import re

import numpy as np
import pytest

from tinyscope.data.classification.cifar import cifar10, cifar100
from tinyscope.data.classification.imagenet32 import imagenet32
from tinyscope.data.classification.locate import has_split, locate
from tinyscope.errors import DataError

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
LABELS = np.array([0, 9, 3, 3, 1, 2, 5, 6, 7, 8, 4, 0])


def write_cifar10(place, pixels=PIXELS, labels=LABELS):
    records = np.concatenate([labels[:, None].astype(np.uint8), pixels.reshape(-1, 3072)], axis=1)
    for i in range(5):
        records[2 * i : 2 * i + 2].tofile(place / f"data_batch_{i + 1}.bin")
    records[10:].tofile(place / "test_batch.bin")
    (place / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    return place


def write_cifar100(place):
    columns = [LABELS[:, None] * 2, LABELS[:, None] * 10 + 9, PIXELS.reshape(-1, 3072)]
    records = np.concatenate(columns, axis=1).astype(np.uint8)
    records[:10].tofile(place / "train.bin")
    records[10:].tofile(place / "test.bin")
    (place / "fine_label_names.txt").write_text("\n".join(f"fine{i}" for i in range(100)))
    (place / "coarse_label_names.txt").write_text("\n".join(f"coarse{i}" for i in range(20)))
    return place


def write_imagenet32(place):
    for i in range(10):  # ten, so that their order is not that of their names
        rows = slice(i, i + 1)
        np.savez(
            place / f"train_data_batch_{i + 1}.npz",
            data=PIXELS[rows].reshape(-1, 3072),
            labels=LABELS[rows] * 100 + 1,
        )
    np.savez(place / "val_data.npz", data=PIXELS[10:].reshape(-1, 3072), labels=LABELS[10:] + 1)
    return place


@pytest.mark.parametrize("folder", ["", "cifar-10-batches-bin"])
def test_cifar10_is_read_as_it_is_written(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    write_cifar10(tmp_path / folder)
    images = locate(tmp_path, "train")
    assert images.names == tuple("abcdefghij")
    assert images.labels.tolist() == LABELS[:10].tolist()
    assert (images.take(np.arange(10))[0].numpy() == PIXELS[:10]).all()
    assert images.file(3).endswith("data_batch_2.bin, image 1")
    test = locate(tmp_path, "test")
    assert (test.take(np.arange(2))[0].numpy() == PIXELS[10:]).all()
    assert has_split(tmp_path, "val")  # which is its test set
    assert locate(tmp_path, "val").split == test.split == "test"
    assert images.split == "train"


def write_every_set(place):
    (place / "ten").mkdir()
    (place / "hundred").mkdir()
    (place / "large").mkdir()
    return {
        cifar10: write_cifar10(place / "ten"),
        cifar100: write_cifar100(place / "hundred"),
        imagenet32: write_imagenet32(place / "large"),
    }


@pytest.mark.parametrize("split", ["trian", "trainval", "tests", "Train", "train+val"])
def test_a_split_that_is_not_known_is_not_the_test_set(tmp_path, split):
    for read, place in write_every_set(tmp_path).items():
        with pytest.raises(DataError, match=re.escape(f"no split {split!r}; the set has train")):
            read(place, split)
        with pytest.raises(DataError, match=re.escape(f"no split {split!r}; looked for")):
            locate(place, split)
        assert not has_split(place, split)


def test_splits_of_stored_sets_are_not_joined(tmp_path):
    for read, place in write_every_set(tmp_path).items():
        with pytest.raises(DataError, match=r"not joined, train\+val is not offered"):
            read(place, "train+val")


def test_a_split_goes_by_its_other_names(tmp_path):
    for read, place in write_every_set(tmp_path).items():
        assert len(read(place, "training")) == 10
        assert [len(read(place, name)) for name in ("valid", "testing")] == [2, 2]


@pytest.mark.parametrize("file", ["data_batch_1.bin", "data_batch_4.bin"])
def test_every_file_of_cifar10_must_be_there(tmp_path, file):
    (write_cifar10(tmp_path) / file).unlink()
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}: no {file}; give")):
        cifar10(tmp_path)
    with pytest.raises(DataError, match=re.escape(f"no {file}")):
        locate(tmp_path)


def test_files_that_lie_in_two_places_are_read_once(tmp_path):
    (tmp_path / "cifar-10-batches-bin").mkdir()
    write_cifar10(tmp_path)
    write_cifar10(tmp_path / "cifar-10-batches-bin")
    assert len(cifar10(tmp_path)) == 10
    (tmp_path / "data_batch_2.bin").unlink()  # and not taken from the other folder
    with pytest.raises(DataError, match=r"no data_batch_2\.bin"):
        cifar10(tmp_path)


@pytest.mark.parametrize(("gone", "found"), [(1, 2), (4, 5), (9, 10)])
def test_batches_of_imagenet32_have_no_gap(tmp_path, gone, found):
    (write_imagenet32(tmp_path) / f"train_data_batch_{gone}.npz").unlink()
    words = rf"no train_data_batch_{gone}\.npz, but train_data_batch_{found}\.npz"
    with pytest.raises(DataError, match=words):
        locate(tmp_path, "train")


@pytest.mark.parametrize(("coarse", "factor", "offset"), [(False, 10, 9), (True, 2, 0)])
def test_cifar100_has_two_kinds_of_labels(tmp_path, coarse, factor, offset):
    images = cifar100(write_cifar100(tmp_path), coarse=coarse)
    assert images.labels.tolist() == (LABELS[:10] * factor + offset).tolist()
    assert len(images.names) == (20 if coarse else 100)
    assert (images.take(np.arange(10))[0].numpy() == PIXELS[:10]).all()
    assert locate(tmp_path, "train").names[0] == "fine0"


def test_imagenet32_counts_its_labels_from_one_and_its_files_by_number(tmp_path):
    images = locate(write_imagenet32(tmp_path), "train")
    assert images.labels.tolist() == (LABELS[:10] * 100).tolist()
    assert (images.take(np.arange(10))[0].numpy() == PIXELS[:10]).all()
    assert images.file(9).endswith("train_data_batch_10.npz, image 0")
    assert images.names[:2] == ("1", "2")
    assert locate(tmp_path, "val").labels.tolist() == LABELS[10:].tolist()


def test_damaged_binary_files_are_named(tmp_path):
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(b"1" * 3072)
    with pytest.raises(DataError, match=r"data_batch_3\.bin: 3072 bytes are no whole number"):
        cifar10(tmp_path)
    write_cifar10(tmp_path, labels=LABELS + 2)
    with pytest.raises(
        DataError, match=r"data_batch_1\.bin: has a label 11, the set has .* 0 to 9"
    ):
        cifar10(tmp_path)
    write_cifar10(tmp_path)
    (tmp_path / "batches.meta.txt").write_text("only one")
    with pytest.raises(DataError, match="names 2 classes, the set has 10"):
        cifar10(tmp_path)


def test_pickled_files_are_not_read(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x04")
    with pytest.raises(DataError, match="pickled and not read"):
        cifar10(tmp_path)
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "val_data.npz", data=objects, labels=objects)
    with pytest.raises(DataError, match="holds objects that only code could restore"):
        imagenet32(tmp_path, "val")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"data": PIXELS.reshape(12, -1)}, "holds no array 'labels'"),
        ({"data": PIXELS.reshape(12, -1), "labels": LABELS}, "labels must be 1 to 1000"),
        ({"data": PIXELS.reshape(12, -1), "labels": LABELS + 999}, "labels must be 1 to 1000"),
        ({"data": PIXELS.reshape(12, -1), "labels": LABELS + 1.5}, "labels are float64, must be"),
        ({"data": PIXELS.reshape(12, -1), "labels": np.array(["cat"] * 12)}, "labels are <U3, mus"),
        ({"data": PIXELS.reshape(12, -1)[:3], "labels": LABELS + 1}, r"data are \(3, 3072\) uint8"),
        ({"data": PIXELS.reshape(12, -1) / 255, "labels": LABELS + 1}, "float64, must be"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, arrays, words):
    np.savez(tmp_path / "val_data.npz", **arrays)
    with pytest.raises(DataError, match=words):
        imagenet32(tmp_path, "val")


def damaged(path, arrays):
    np.savez_compressed(path, **arrays)
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xff" * 1900
    return bytes(content)


def single(path, arrays):
    with path.open("wb") as file:
        np.save(file, arrays["data"])
    return path.read_bytes()


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (damaged, "is damaged, or holds objects"),
        (single, "holds no array 'labels'"),
        (lambda path, arrays: b"", "is damaged, or"),
        (lambda path, arrays: b"PK\x03\x04 and no more", "is damaged, or"),
        (lambda path, arrays: b"labels,data", "is damaged, or"),
    ],
)
def test_files_that_are_no_whole_npz_are_named(tmp_path, write, words):
    path = tmp_path / "val_data.npz"
    path.write_bytes(write(path, {"labels": LABELS + 1, "data": PIXELS.reshape(12, -1)}))
    with pytest.raises(DataError, match=rf"val_data\.npz: {words}"):
        imagenet32(tmp_path, "val")
