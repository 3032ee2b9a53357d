"""The generated set in the layout of TinyPerson, and the reader on it."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tinyscope.data import DATASETS
from tinyscope.data.erase import ERASE
from tinyscope.data.locate import has_split, locate, split_read
from tinyscope.data.synthetic import write_tinyperson
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats import coco
from tinyscope.formats.tinyperson import OTHER

SIZE = (420, 560)


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated") / "tiny_set"
    write_tinyperson(folder, {"train": 5, "test": 3}, seed=4, size=SIZE)
    return folder


def read(folder, **options):
    return DATASETS.build({"name": "tinyperson", "path": str(folder), **options})


def test_files_are_those_of_the_published_layout(tiny_set):
    for split, count in (("train", 5), ("test", 3)):
        images = list((tiny_set / split).rglob("*.jpg"))
        assert len(images) == count
        content = json.loads((tiny_set / f"annotations/tiny_set_{split}.json").read_text())
        assert [c["name"] for c in content["categories"]] == ["sea_person", "earth_person"]
        assert [i["id"] for i in content["images"]] == list(range(count - 1))  # one is dense
        rows = content["annotations"]
        assert [row["id"] for row in rows] == list(range(len(rows)))
        for flag in ("ignore", "uncertain", "logo", "in_dense_image"):
            assert all(row[flag] in (True, False) for row in rows)
            assert isinstance(rows[0][flag], bool)
        assert any(row["ignore"] for row in rows)
        assert any(row["uncertain"] for row in rows)
        assert not any(row["in_dense_image"] for row in rows)


def test_equal_arguments_give_equal_bytes(tiny_set, tmp_path):
    write_tinyperson(tmp_path / "again", {"train": 5, "test": 3}, seed=4, size=SIZE)
    first, second = (
        {
            p.relative_to(folder): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in folder.rglob("*")
            if p.is_file()
        }
        for folder in (tiny_set, tmp_path / "again")
    )
    assert first == second


def test_persons_are_tiny_and_dense_images_hold_many(tiny_set):
    everything = coco.read_annotations(tiny_set / "annotations/tiny_set_train_with_dense.json")
    persons = everything.keep(~everything.ignore)
    assert persons.sides.min() < 3
    assert persons.sides.max() <= 32.01
    counts = np.diff(persons.offsets)
    dense = np.char.startswith(everything.files, "labeled_dense_images")
    assert dense.sum() == 1
    assert counts[dense].min() > 150  # some find no room in an image as small as this
    empty = np.char.startswith(everything.files, "pure_bg_images")
    assert empty.any()
    assert not counts[empty].any()


def test_whole_images_are_found_and_dense_ones_left_out(tiny_set):
    train = read(tiny_set)
    assert train.names == ("person",)
    assert len(train) == 4
    assert train.root == tiny_set / "train"
    assert len(read(tiny_set, split="val")) == 2
    assert len(read(tiny_set, dense=True)) == 5
    assert len(read(tiny_set, keep_empty=False)) < 4


def test_dense_images_are_left_out_by_their_marks_as_well(tiny_set):
    file = tiny_set / "annotations/tiny_set_train_with_dense.json"
    train = read(tiny_set, annotations=str(file))
    assert len(train) == 4
    assert train.notes[0].startswith("1 dense images with ")


def test_the_folder_is_known_without_being_named(tiny_set):
    assert has_split(tiny_set, "val")
    found = locate(tiny_set, "test")
    assert found.names == ("person",)
    assert found.image_ids.tolist() == [0, 1]
    file = tiny_set / "annotations/task/tiny_set_test_all.json"
    assert locate(file).root == tiny_set / "test"


@pytest.mark.parametrize("treatment", ["ignore", "erase", "drop", "object"])
def test_uncertain_persons_are_treated_as_asked_for(tiny_set, treatment):
    plain = read(tiny_set, uncertain="object")
    marked = plain.marks["uncertain"]
    count = int(marked.sum())
    assert count
    assert not plain.ignore[marked].any()
    result = read(tiny_set, uncertain=treatment)
    if treatment == "drop":
        np.testing.assert_array_equal(result.boxes, plain.boxes[~marked])
    else:
        np.testing.assert_array_equal(result.boxes, plain.boxes)
        np.testing.assert_array_equal(
            result.ignore, plain.ignore | (marked & (treatment != "object"))
        )
    painted = result.marks.get(ERASE, np.zeros(len(result.boxes), dtype=bool))
    assert painted.sum() == (count if treatment == "erase" else 0)
    assert any(note.startswith(f"{count} rows marked uncertain are ") for note in result.notes)


def test_ignored_regions_are_treated_as_asked_for(tiny_set):
    plain = read(tiny_set)
    count = int((plain.ignore & ~plain.marks["uncertain"]).sum())
    painted = read(tiny_set, ignored="erase", uncertain="object")
    assert painted.marks[ERASE].sum() == count
    assert painted.ignore.sum() == count
    dropped = read(tiny_set, ignored="drop", uncertain="drop")
    assert not dropped.ignore.any()
    assert len(dropped.boxes) == (~plain.ignore).sum()
    assert len(dropped) == len(plain)


def test_a_logo_is_painted_over_though_it_is_not_ignored(tiny_set, tmp_path):
    source = coco.read_annotations(tiny_set / "annotations/task/tiny_set_train_all.json")
    logo = np.zeros_like(source.ignore)
    logo[np.flatnonzero(~source.ignore)[:2]] = True
    coco.write_annotations(replace(source, marks={"logo": logo}), tmp_path / "logo.json")
    options = {"annotations": str(tmp_path / "logo.json"), "images": str(tiny_set / "train")}
    assert read(tiny_set, **options).ignore.sum() == source.ignore.sum()
    painted = read(tiny_set, ignored="erase", **options)
    np.testing.assert_array_equal(painted.marks[ERASE], source.ignore | logo)


def test_a_task_ignores_the_other_category(tiny_set):
    both = read(tiny_set)
    sea, earth = read(tiny_set, task="sea"), read(tiny_set, task="earth")
    objects = [(~a.ignore).sum() for a in (sea, earth, both)]
    assert objects[0] + objects[1] == objects[2]
    assert sea.names == earth.names == ("person",)
    assert "persons of the other category are ignored" in sea.notes[0] + earth.notes[0]


@pytest.mark.parametrize("treatment", ["erase", "drop"])
def test_persons_of_the_other_category_stay_ignored_whatever_becomes_of_regions(
    tiny_set, treatment
):
    both = {task: read(tiny_set, task=task) for task in ("sea", "earth")}
    task, plain = next(item for item in both.items() if OTHER in item[1].marks)
    other = plain.marks[OTHER]
    assert other.any()
    assert plain.ignore[other].all()
    counts = {note.split()[0] for note in plain.notes if "other category" in note}
    assert counts == {str(other.sum())}
    result = read(tiny_set, task=task, ignored=treatment, uncertain="object")
    assert result.marks[OTHER].sum() == other.sum()
    assert result.ignore[result.marks[OTHER]].all()
    painted = result.marks.get(ERASE, np.zeros_like(result.ignore))
    assert not (painted & result.marks[OTHER]).any()


def test_what_cannot_be_read_is_named(tiny_set, tmp_path):
    with pytest.raises(SettingsError, match="no folder is given; use --data DIR"):
        DATASETS.build({"name": "tinyperson"})
    with pytest.raises(DataError, match=r"no annotations of split train.*corner/task/tiny_set"):
        read(tiny_set, tiles=True)
    whole = tiny_set / "annotations/task/tiny_set_train_all.json"
    with pytest.raises(DataError, match="tiles are asked for, but its images have no corner"):
        read(tiny_set, tiles=True, annotations=str(whole))
    with pytest.raises(DataError, match="the task sea cannot be told"):
        read(tiny_set, task="sea", annotations=str(whole))
    source = coco.read_annotations(whole)
    coco.write_annotations(replace(source, names=("dog",)), tmp_path / "dogs.json")
    with pytest.raises(DataError, match="dog is no category of TinyPerson"):
        read(tiny_set, annotations=str(tmp_path / "dogs.json"))
    with pytest.raises(DataError, match=r"4 of 4 images are missing.*option `images`"):
        read(tiny_set, annotations=str(whole), images=str(tmp_path))


@pytest.mark.parametrize("split", ["val", "valid", "validation", "test", "testing"])
def test_there_are_two_splits_and_the_second_goes_by_many_names(tiny_set, split):
    assert read(tiny_set, split=split).root == locate(tiny_set, split).root == tiny_set / "test"
    assert has_split(tiny_set, split)
    assert (split_read(tiny_set, split), split_read(tiny_set, "training")) == ("test", "train")


@pytest.mark.parametrize(("split", "meant"), [("tain", "train"), ("train2017", "train")])
def test_a_split_of_another_name_is_not_taken_for_the_test_set(tiny_set, split, meant):
    for reader in (locate, lambda folder, split: read(folder, split=split)):
        with pytest.raises(DataError, match=f"no split '{split}'; did you mean {meant}"):
            reader(tiny_set, split)
    assert not has_split(tiny_set, split)


def test_files_of_ones_own_lie_beside_the_published_ones(tiny_set, tmp_path):
    shutil.copytree(tiny_set, tmp_path / "own")
    shutil.copy(
        tmp_path / "own/annotations/task/tiny_set_train_all.json",
        tmp_path / "own/train/annotations.json",
    )
    (tmp_path / "own/train").rename(tmp_path / "own/fold1")
    assert has_split(tmp_path / "own", "fold1")
    assert locate(tmp_path / "own", "fold1").root == tmp_path / "own" / "fold1"
