import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyscope.data.locate import locate
from tinyscope.data.synthetic import NAMES, SIDES, picture, synthetic, write_synthetic
from tinyscope.data.synthetic.canvas import _MAKERS as MAKERS
from tinyscope.data.synthetic.shapes import placed
from tinyscope.errors import DataError, SettingsError

SIZE = (160, 192)


@pytest.fixture(scope="module")
def pictures():
    return [picture(0, "train", number, (200, 240)) for number in range(30)]


def content(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("heading", [0.0, 0.3, 2.0, 4.5])
def test_a_box_is_the_extent_of_the_mask(name, side, heading):
    make, low, high = MAKERS[name]
    thing = placed(make((low + high) / 2), side, heading)
    x1, y1, x2, y2 = thing.box
    assert np.sqrt((x2 - x1) * (y2 - y1)) == pytest.approx(side)
    window = (*np.floor(thing.box[:2]).astype(int) - 2, *np.ceil(thing.box[2:]).astype(int) + 2)
    samples, finer = 1, 32  # each point of a grid 1/32 px wide as a pixel of its own
    fine = placed(make((low + high) / 2), side * finer, heading)
    window = tuple(int(edge) * finer for edge in window)
    mask = fine.coverage(fine.shape.body, window, samples) > 0
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    extent = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    extent = (extent + np.array([window[0], window[1]] * 2)) / finer
    # A pointed end is thinner than the grid for a little way.
    np.testing.assert_allclose(extent, thing.box, atol=0.1 if side < 10 else 0.3)


def test_coverage_adds_up_to_the_area():
    thing = placed(MAKERS["disk"][0](0.5), 7.0, 0.0)
    alpha = thing.coverage(thing.shape.body, (-5, -5, 5, 5), 16)
    assert alpha.sum() == pytest.approx(np.pi * 3.5**2, rel=0.005)
    assert ((alpha > 0) & (alpha < 1)).any()


def test_a_shift_of_a_fraction_shifts_the_center_of_mass():
    thing = placed(MAKERS["disk"][0](0.5), 6.0, 0.0)
    moved = replace(thing, center=(thing.center[0] + 0.3, thing.center[1]))
    x = np.arange(-8, 8) + 0.5

    def center(one):
        alpha = one.coverage(one.shape.body, (-8, -8, 8, 8), 16).sum(axis=0)
        return (alpha * x).sum() / alpha.sum()

    assert center(moved) - center(thing) == pytest.approx(0.3, abs=0.02)


def test_boxes_lie_in_their_images_and_apart(pictures):
    for one in pictures:
        height, width = one.image.shape[:2]
        assert (one.boxes >= 0).all()
        assert (one.boxes[:, 2:] <= (width, height)).all()
        a = one.boxes[~one.ignore]
        across = (a[:, None, :2] < a[None, :, 2:]).all(2) & (a[None, :, :2] < a[:, None, 2:]).all(2)
        overlap = np.triu(across, 1).sum()
        assert overlap <= 0.5 * len(a)  # parked cars that stand askew


def test_the_set_holds_what_a_detector_must_cope_with(pictures):
    boxes = np.concatenate([p.boxes[~p.ignore] for p in pictures])
    labels = np.concatenate([p.labels[~p.ignore] for p in pictures])
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    assert sides.min() >= SIDES[0] - 1e-6
    assert sides.max() <= SIDES[1] + 1e-6
    assert ((sides < 8).mean(), (sides > 16).mean()) > (0.25, 0.1)
    assert set(labels.tolist()) == set(range(len(NAMES)))
    assert any(p.ignore.any() for p in pictures)
    assert any(not len(p.boxes) for p in pictures)
    assert len({p.image.shape for p in pictures}) > 25
    assert any((p.image == p.image[..., :1]).all() for p in pictures)  # no color


def test_every_object_stands_out_from_what_surrounds_it(pictures):
    seen = []
    for one in pictures:
        gray = one.image.astype(float).mean(axis=2)
        for x1, y1, x2, y2 in np.round(one.boxes[~one.ignore]).astype(int):
            inner = gray[y1:y2, x1:x2]
            outer = gray[max(y1 - 4, 0) : y2 + 4, max(x1 - 4, 0) : x2 + 4]
            seen.append(np.abs(inner - np.median(outer)).max())
    assert np.quantile(seen, 0.05) > 15


def test_equal_arguments_give_equal_bytes_and_others_do_not(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_synthetic(tmp_path / name, {"train": 3, "val": 2}, seed, SIZE)
    a, b, c = (content(tmp_path / name) for name in "abc")
    assert a == b
    assert sorted(a) == sorted(c)
    assert not set(a.values()) & set(c.values())


def test_the_pictures_of_a_smaller_set_begin_a_larger_one():
    first, again, other = (picture(0, s, 1, SIZE) for s in ("train", "train", "val"))
    assert np.array_equal(first.image, again.image)
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def test_what_is_written_is_found_and_read_back(tmp_path):
    written = write_synthetic(tmp_path, {"train": 4, "val": 2}, size=SIZE)
    for split, count in (("train", 4), ("val", 2)):
        table = locate(tmp_path, split)
        assert len(table) == count
        assert table.names == NAMES
        np.testing.assert_allclose(table.boxes, written[split].boxes, atol=1e-9)
        assert np.array_equal(table.ignore, written[split].ignore)
        assert not table.crowd.any()
        for i in range(count):
            with Image.open(table.path(i)) as image:
                assert image.size[::-1] == tuple(table.sizes[i])


def test_ignore_regions_survive_the_file(tmp_path, pictures):
    number = next(n for n, one in enumerate(pictures) if one.ignore.any())
    write_synthetic(tmp_path, {"train": number + 1}, size=(200, 240))
    assert locate(tmp_path, "train").ignore.sum() == 1


def test_the_cache_is_written_once_and_leaves_nothing_half(tmp_path, monkeypatch):
    first = synthetic("val", images=2, size=SIZE, cache=tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    second = synthetic("val", images=2, size=SIZE, cache=tmp_path)
    assert np.array_equal(first.boxes, second.boxes)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinyscope.data.synthetic.write.coco.write_annotations", fail)
    with pytest.raises(KeyboardInterrupt):
        synthetic("train", images=2, size=SIZE, cache=tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}.keys() == before.keys()


def test_the_cache_lies_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert synthetic(images=1, size=SIZE).path(0).is_relative_to(tmp_path / "tinyscope")


def test_what_is_there_already_is_not_overwritten(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.json").write_text("mine")
    with pytest.raises(DataError, match=r"is not empty.*name a new folder"):
        write_synthetic(tmp_path, {"train": 1}, size=SIZE)
    assert content(tmp_path).keys() == {"annotations/train.json"}
    whole = tmp_path / "whole"
    write_synthetic(whole, {"train": 1}, size=SIZE)
    with pytest.raises(DataError, match="is not empty"):
        write_synthetic(whole, {"train": 1}, seed=1, size=SIZE)


def test_writing_that_was_broken_off_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    counts = {"train": 2, "val": 2}
    write_synthetic(tmp_path / "whole", counts, size=SIZE)

    def fail_at(seed, split, number, size):
        if (split, number) == ("val", 1):
            raise KeyboardInterrupt
        return picture(seed, split, number, size)

    with monkeypatch.context() as patch:
        patch.setattr("tinyscope.data.synthetic.write.picture", fail_at)
        with pytest.raises(KeyboardInterrupt):
            write_synthetic(tmp_path / "parts", counts, size=SIZE)
    assert not list((tmp_path / "parts").rglob("*.json"))
    write_synthetic(tmp_path / "parts", counts, size=SIZE)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_wrong_arguments_and_places_are_named(tmp_path):
    with pytest.raises(SettingsError, match=r"one or more in every split, got .'train': 0"):
        write_synthetic(tmp_path, {"train": 0})
    with pytest.raises(SettingsError, match="size must be 64 pixels or more"):
        write_synthetic(tmp_path, {"train": 1}, size=(10, 10))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        write_synthetic(tmp_path / "file", {"train": 1}, size=SIZE)
    with pytest.raises(DataError, match=r"cannot be written.*data\.train\.cache"):
        synthetic(images=1, size=SIZE, cache=tmp_path / "file")
