from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tinyscope.data import WINDOWS
from tinyscope.data.windows.aimed import RandomWindows, object_weights
from tinyscope.data.windows.grid import GridWindows
from tinyscope.data.windows.objects import objects_per_window
from tinyscope.data.windows.whole import WholeImages
from tinyscope.errors import DataError
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import Annotations
from tinyscope.tiling.cut import grid_windows


def scene(sizes, boxes, labels=None, ignore=None) -> Annotations:
    """A data set by the boxes of each image."""
    flat = [box for image in boxes for box in image]
    return assemble(
        Path("nowhere"),
        ["car", "bus", "cyclist"],
        [f"{i}.png" for i in range(len(sizes))],
        np.array(sizes, dtype=np.int32),
        [len(image) for image in boxes],
        np.array(flat, dtype=np.float64).reshape(-1, 4),
        np.array(labels if labels is not None else [0] * len(flat), dtype=np.int64),
        np.array(ignore if ignore is not None else [False] * len(flat), dtype=np.bool_),
    )


def square(x: float, y: float, side: float = 4) -> tuple[float, float, float, float]:
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


THREE = scene([(100, 200), (50, 60), (300, 300)], [[square(20, 20), square(150, 80)], [], []])


def frames(plan, count: int | None = None):
    return [(w.image, w.frame) for w in (plan[i] for i in range(count or len(plan)))]


def test_whole_images_appear_once_per_epoch_in_another_order_each_time():
    plan = WholeImages()(THREE, seed=1)
    epochs = [[plan[e * 3 + i].image for i in range(3)] for e in range(6)]
    assert all(sorted(e) == [0, 1, 2] for e in epochs)
    assert len({tuple(e) for e in epochs}) > 1
    assert plan[epochs[0].index(0)].frame == (0, 0, 200, 100)


def test_a_grid_shows_every_window_once_per_epoch():
    plan = GridWindows(size=64, overlap=16, keep_empty=1.0)(THREE, seed=0)
    seen = frames(plan)
    assert len(seen) == len(set(seen)) == len(plan)
    for image, (height, width) in enumerate(THREE.sizes.tolist()):
        expected = grid_windows((height, width), (64, 64), 16)
        assert sorted(f for i, f in seen if i == image) == sorted(map(tuple, expected.tolist()))


def test_empty_windows_of_a_grid_take_turns():
    all_of_them = GridWindows(size=64, overlap=16, keep_empty=1.0)(THREE, seed=0)
    full = GridWindows(size=64, overlap=16, keep_empty=0.0)(THREE, seed=0)
    some = GridWindows(size=64, overlap=16, keep_empty=0.2)(THREE, seed=0)
    empty = len(all_of_them) - len(full)
    assert {i for i, _ in frames(full)} == {0}
    assert len(some) == len(full) + round(0.2 * empty)
    seen = Counter(frames(some, len(some) * 60))
    assert len(seen) == len(all_of_them)
    assert all(seen[f] == 60 for f in frames(full))


def test_a_grid_without_objects_needs_empty_windows():
    bare = scene([(100, 100)], [[]])
    assert len(GridWindows(size=64, overlap=16, keep_empty=1.0)(bare, seed=0)) == 4
    with pytest.raises(DataError, match=r"keep_empty of the windows is 0\.0; raise it"):
        GridWindows(size=64, overlap=16, keep_empty=0.0)(bare, seed=0)


def test_windows_with_ignored_regions_alone_count_as_empty():
    crowd = scene([(64, 64)], [[square(30, 30)]], ignore=[True])
    with pytest.raises(DataError, match="keep_empty"):
        GridWindows(size=64, overlap=16, keep_empty=0.0)(crowd, seed=0)


def test_counts_per_window_equal_counting_one_by_one():
    random = np.random.default_rng(0)
    for size, tile, overlap in [((97, 203), (32, 32), 9), ((20, 50), (32, 32), 0)]:
        windows = random.permutation(grid_windows(size, tile, overlap))
        points = random.uniform(0, (size[1], size[0]), (300, 2)).round()
        inside = (points[None] >= windows[:, None, :2]) & (points[None] < windows[:, None, 2:])
        counted = objects_per_window(windows, points)
        np.testing.assert_array_equal(counted, inside.all(axis=2).sum(axis=1))


def test_an_aimed_window_holds_an_object():
    plan = RandomWindows(size=32, aimed=1.0)(THREE, seed=3)
    for image, (x1, y1, x2, y2) in frames(plan, 200):
        assert image == 0
        assert (x2 - x1, y2 - y1) == (32, 32)
        boxes = THREE.boxes
        assert ((boxes[:, :2] >= (x1, y1)) & (boxes[:, 2:] <= (x2, y2))).all(axis=1).any()


def test_an_aimed_window_holds_its_object_anywhere_in_it():
    lone = scene([(400, 400)], [[square(200, 200)]])
    plan = RandomWindows(size=32, aimed=1.0)(lone, seed=0)
    starts = Counter(f[0] for _, f in frames(plan, 2000))
    assert set(starts) == set(range(170, 199))
    assert max(starts.values()) < 3 * min(starts.values())


def test_an_object_longer_than_the_window_is_held_in_part():
    long = scene([(100, 400)], [[(50, 40, 350, 50)]])
    for _, (x1, _, x2, _) in frames(RandomWindows(size=32, aimed=1.0)(long, seed=0), 50):
        assert 50 <= x1 < x2 <= 350


def test_free_windows_lie_anywhere_in_proportion_to_the_area():
    plan = RandomWindows(size=50, aimed=0.0)(THREE, seed=0)
    seen = Counter(w.image for w in (plan[i] for i in range(4000)))
    # 2 x 4, 1 x 2 and 6 x 6 windows cover the images.
    for image, share in enumerate([8 / 46, 2 / 46, 36 / 46]):
        assert seen[image] / 4000 == pytest.approx(share, abs=0.03)


def test_empty_free_windows_are_replaced_at_the_stated_rate():
    def empty_share(keep: float) -> float:
        plan = RandomWindows(size=50, aimed=0.0, keep_empty=keep)(THREE, seed=0)
        return sum(i > 0 for i, _ in frames(plan, 2000)) / 2000

    assert empty_share(0.0) == 0
    assert empty_share(0.5) == pytest.approx(38 / 46 / 2, abs=0.04)


def test_without_objects_windows_lie_anywhere():
    bare = scene([(100, 100), (80, 80)], [[], []])
    plan = RandomWindows(size=32, aimed=1.0, keep_empty=0.0)(bare, seed=0)
    assert {i for i, _ in frames(plan, 50)} == {0, 1}


def test_the_window_is_cut_at_its_size_over_the_factor():
    large = scene([(400, 400)], [[square(200, 200)]])
    plan = RandomWindows(size=64, scale=(0.5, 2.0))(large, seed=0)
    sides = [w.frame[2] - w.frame[0] for w in (plan[i] for i in range(200))]
    assert {w.size for w in (plan[i] for i in range(200))} <= {(64, 64), (63, 63), (64, 63)}
    assert 32 <= min(sides) < 40
    assert 100 < max(sides) <= 128


def test_a_small_image_is_enlarged_whole():
    small = scene([(20, 30)], [[square(10, 10)]])
    window = RandomWindows(size=64, scale=(2.0, 2.0))(small, seed=0)[0]
    assert window.frame == (0, 0, 30, 20)
    assert window.size == (40, 60)


def times_seen(plan, annotations: Annotations, count: int) -> np.ndarray:
    seen = np.zeros(len(annotations.boxes))
    for image, frame in frames(plan, count):
        rows = annotations.rows(image)
        boxes = annotations.boxes[rows]
        seen[rows] += ((boxes[:, :2] >= frame[:2]) & (boxes[:, 2:] <= frame[2:])).all(axis=1)
    return seen


def test_objects_of_crowds_and_lone_ones_are_seen_about_equally():
    """40 objects at one place, 1 at another, 1 in another image."""
    random = np.random.default_rng(0)
    crowd = [square(*random.uniform(110, 120, 2)) for _ in range(40)]
    annotations = scene([(400, 400), (400, 400)], [[*crowd, square(300, 300)], [square(50, 150)]])
    even = times_seen(RandomWindows(size=64, aimed=1.0)(annotations, 0), annotations, 1500)
    assert even.max() < 1.4 * even.min()
    by_object = RandomWindows(size=64, aimed=1.0, spread=0.0)(annotations, 0)
    uneven = times_seen(by_object, annotations, 1500)
    assert uneven[:40].min() > 10 * uneven[40:].max()


def test_balance_shows_rare_classes_more_often():
    many = [square(x, y) for x in range(20, 400, 20) for y in range(20, 400, 20)]
    labels = [0] * (len(many) - 1) + [1]
    annotations = scene([(400, 400)], [many], labels)
    rows = np.arange(len(many))
    for balance, share in [(0.0, 1 / len(many)), (1.0, 0.5)]:
        weights = object_weights(annotations, rows, 64, spread=0.0, balance=balance)
        assert weights[-1] / weights.sum() == pytest.approx(share)
    half = object_weights(annotations, rows, 64, spread=0.0, balance=0.5)
    assert 1 / len(many) < half[-1] / half.sum() < 0.5


def test_ignored_regions_are_not_aimed_at():
    crowd = scene([(400, 400)], [[square(50, 50), square(300, 300)]], ignore=[True, False])
    plan = RandomWindows(size=64, aimed=1.0)(crowd, seed=0)
    assert all(f[0] > 200 for _, f in frames(plan, 50))


@pytest.mark.parametrize("name", WINDOWS.names())
def test_a_window_follows_from_seed_and_position_alone(name):
    source = WINDOWS.build({"name": name, "keep_empty": 0.5})
    forward, backward, other = source(THREE, 5), source(THREE, 5), source(THREE, 6)
    count = 5 * len(forward)
    drawn = {i: backward[i] for i in reversed(range(count))}
    assert [forward[i] for i in range(count)] == [drawn[i] for i in range(count)]
    assert frames(forward, count) != frames(other, count)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "grid", "size": 32, "overlap": 32}, "overlap must be .* got 32"),
        ({"name": "random", "scale": [2.0, 1.0]}, "scale must be"),
        ({"name": "random", "aimed": 1.5}, "aimed must be between 0 and 1, got 1.5"),
        ({"name": "random", "size": 0}, "size must be a positive number"),
        ({"name": "random", "per_image": 0}, "per_image must be positive"),
        ({"name": "whole", "keep_empty": -1.0}, "keep_empty must be"),
        ({"name": "grid", "cut": "halve"}, "data.windows.cut"),
    ],
)
def test_senseless_windows_are_refused(options, message):
    from tinyscope.errors import SettingsError

    with pytest.raises(SettingsError, match=message):
        WINDOWS.build(options, "data.windows")
