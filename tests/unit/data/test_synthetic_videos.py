"""Generated videos: classes, ways of objects, what frames look like, files."""

import hashlib
from weakref import ref

import numpy as np
import pytest
from PIL import Image

from tinyscope.cli.main import main
from tinyscope.data.locate import locate
from tinyscope.data.synthetic import FREQUENT, VIDEO_NAMES, write_videos
from tinyscope.data.synthetic.film import film, seen
from tinyscope.data.synthetic.moving import SIDES, mover
from tinyscope.data.synthetic.videos import SPREAD, _cast, quotas
from tinyscope.errors import SettingsError
from tinyscope.formats import coco

SIZE = (80, 96)
STANDING = np.zeros((33, 2))
NOTHING = np.zeros((0, 32, 4))


def ways(count=60, camera=STANDING, **options):
    rng = np.random.default_rng(0)
    label = options.pop("label", None)
    return [
        mover(i % 12 if label is None else label, 1.0, camera, (192, 256), rng, NOTHING)
        for i in range(count)
    ]


def motion(boxes, present):
    """Mean IoU of an object with itself within ten frames, frame by frame."""
    values = []
    for t in np.flatnonzero(present):
        near = np.arange(max(t - 10, 0), min(t + 11, len(boxes)))
        near = near[present[near] & (near != t)]
        if not len(near):
            continue
        overlap = np.minimum(boxes[t, 2:], boxes[near, 2:])
        overlap = (overlap - np.maximum(boxes[t, :2], boxes[near, :2])).clip(0).prod(axis=1)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        values.append((overlap / (areas[t] + areas[near] - overlap)).mean())
    return values


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos") / "set"
    return folder, write_videos(folder, {"train": 3, "val": 2}, seed=2, size=SIZE, frames=6)


def test_classes_fall_by_an_equal_factor_over_three_orders_of_magnitude():
    quota = quotas(800, SPREAD)
    assert quota.sum() == pytest.approx(800)
    assert quota[0] / quota[-1] == pytest.approx(1000)
    assert quota[1:] / quota[:-1] == pytest.approx(np.full(11, 1000 ** (-1 / 11)))


@pytest.mark.parametrize(("split", "least", "most"), [("train", 500, 1500), ("val", 8, 12)])
def test_every_split_has_all_classes_in_their_numbers(split, least, most):
    objects = [one for video in _cast(split, 48, 0) for one in video]
    lived = np.zeros(12)
    np.add.at(lived, [label for label, _ in objects], [life for _, life in objects])
    assert (lived > 0).all()
    lived = lived[[VIDEO_NAMES.index(name) for name in FREQUENT]]
    assert (np.diff(lived) <= 0).all()
    assert least < lived[0] / lived[-1] < most


@pytest.mark.parametrize("split", ["train", "val"])
def test_one_video_has_all_classes_as_well(split):
    (objects,) = _cast(split, 1, 0)
    assert {label for label, _ in objects} == set(range(12))


def test_objects_are_tiny_and_seen_in_whole_once():
    for one in ways():
        side = np.sqrt((one.boxes[:, 2:] - one.boxes[:, :2]).prod(axis=1))
        assert side.min() > SIDES[0] * 0.6  # what turns has a larger box aslant
        assert side.max() < SIDES[1] * 1.7
        whole = (one.clipped((192, 256)) == one.boxes).all(axis=1)
        assert (whole & one.present).any()


def test_a_third_each_is_slow_medium_and_fast_before_a_standing_camera():
    values = np.concatenate([motion(one.boxes, one.present) for one in ways(150)])
    shares = np.histogram(values, [0, 0.7, 0.9, 1 + 1e-9])[0] / len(values)
    assert shares.min() > 0.15  # the fast ones leave early


def test_the_camera_moves_everything_the_other_way():
    flight = np.arange(33)[:, None] * np.array([0.8, -0.3])
    still, flown = ways(10), ways(10, flight)
    for one, other in zip(still, flown, strict=True):
        shift = (other.centers - one.centers) + flight[:-1]
        np.testing.assert_allclose(shift, np.broadcast_to(shift[:1], shift.shape), atol=1e-9)


def test_a_step_leads_to_the_next_place():
    for one in ways(5):
        np.testing.assert_allclose(one.centers[:-1] + one.steps[:-1], one.centers[1:])
        assert one.at(3, 1.0).center == pytest.approx(tuple(one.centers[4]))


def test_a_short_life_is_a_share_of_the_frames():
    rng = np.random.default_rng(0)
    lives = [mover(0, 0.3, STANDING, (192, 256), rng, NOTHING).present.sum() for _ in range(40)]
    assert min(lives) >= 1
    assert max(lives) <= 0.3 * 32 + 1


def test_objects_keep_clear_of_each_other_where_there_is_room():
    crossings = 0
    for number in range(4):
        frames = list(film(0, "train", number, [(i % 12, 1.0) for i in range(12)], 8, (192, 256)))
        for frame in frames:
            a, b = frame.boxes[:, None], frame.boxes[None]
            over = (a[..., :2] < b[..., 2:]).all(-1) & (b[..., :2] < a[..., 2:]).all(-1)
            crossings += int(np.triu(over, 1).sum())
    assert crossings <= 8


def test_a_view_at_a_fraction_of_a_pixel_is_the_mean_of_its_neighbors():
    image = np.arange(24, dtype=np.float32).reshape(4, 6, 1)
    exact = seen(image, np.array([2.0, 1.0]), (2, 3))
    np.testing.assert_array_equal(exact, image[1:3, 2:5])
    np.testing.assert_allclose(seen(image, np.array([2.25, 1.5]), (2, 3)), exact + 0.25 + 3)


def test_frames_together_show_what_single_ones_do_not():
    # A class of one kind on its own; what it adds to the ground is measured against the noise of
    # its surroundings, in single frames and in the mean of frames laid upon each other.
    single, joined = [], []
    for number in range(6):
        frames = list(
            film(1, "train", number, [(VIDEO_NAMES.index("boat"), 1.0)] * 8, 16, (96, 128))
        )
        for track in range(8):
            patches = []
            for frame in frames:
                for x1, y1, x2, y2 in frame.boxes[(frame.tracks == track) & ~frame.hidden]:
                    x, y = round((x1 + x2) / 2), round((y1 + y2) / 2)
                    if 12 <= x < 116 and 12 <= y < 84:
                        patches.append(frame.image[y - 12 : y + 12, x - 12 : x + 12].mean(axis=2))
            if len(patches) < 8:
                continue
            stack = np.stack(patches)
            stack = stack - stack.mean(axis=(1, 2), keepdims=True)
            single += [contrast(patch) for patch in stack]
            joined.append(contrast(stack.mean(axis=0)))
    assert len(joined) > 15
    assert np.median(joined) > 1.3 * np.median(single)
    assert np.quantile(single, 0.3) < 2.5  # gray values over their deviation


def contrast(patch):
    """How far the middle stands out, in deviations of what surrounds it."""
    border = np.ones(patch.shape, dtype=bool)
    border[4:-4, 4:-4] = False
    return abs(patch[10:14, 10:14].mean() - patch[border].mean()) / patch[border].std()


def test_brightness_and_noise_change_from_frame_to_frame():
    frames = list(film(0, "train", 0, [], 24, (96, 128)))
    light = np.array([frame.image.mean() for frame in frames])
    assert light.max() / light.min() > 1.3
    fine = [np.diff(frame.image.mean(axis=2), axis=1).std() for frame in frames]
    assert max(fine) > 1.4 * min(fine)
    assert not frames[0].boxes.size


def test_what_is_written_is_read_back_as_videos(written):
    folder, made = written
    for split, videos in (("train", 3), ("val", 2)):
        table = coco.read_annotations(folder / f"annotations/{split}.json", folder / "images")
        assert len(table) == len(locate(folder, split)) == videos * 6
        assert table.names == VIDEO_NAMES
        np.testing.assert_allclose(table.boxes, made[split].boxes, atol=1e-9)
        np.testing.assert_array_equal(table.ignore, made[split].ignore)
        assert set(table.labels.tolist()) == set(range(12))
        assert len(table.video.names) == videos
        np.testing.assert_array_equal(table.video.videos, np.repeat(np.arange(videos), 6))
        np.testing.assert_array_equal(table.video.frames, np.tile(np.arange(6), videos))
        assert table.video.keys.all()
        with Image.open(table.path(0)) as image:
            assert image.size[::-1] == SIZE
        assert (table.boxes >= 0).all()
        assert (table.boxes[:, 2:] <= SIZE[::-1]).all()


def test_an_object_keeps_its_number_and_no_two_share_one(written):
    video = written[1]["train"].video
    table = written[1]["train"]
    images = table.images
    for number in np.unique(video.instances):
        rows = video.instances == number
        assert len(np.unique(table.labels[rows])) == 1
        assert len(np.unique(video.videos[images[rows]])) == 1
        assert len(np.unique(images[rows])) == rows.sum()
    numbers = np.unique(video.instances)
    np.testing.assert_array_equal(numbers, np.arange(1, len(numbers) + 1))


def test_equal_arguments_give_equal_files_and_other_seeds_others(written, tmp_path):
    write_videos(tmp_path / "again", {"train": 3, "val": 2}, seed=2, size=SIZE, frames=6)
    write_videos(tmp_path / "other", {"train": 3, "val": 2}, seed=3, size=SIZE, frames=6)

    def content(folder):
        files = [p for p in folder.rglob("*") if p.is_file()]
        return {p.relative_to(folder): hashlib.sha256(p.read_bytes()).digest() for p in files}

    first, again, other = (content(f) for f in (written[0], tmp_path / "again", tmp_path / "other"))
    assert first == again
    assert first.keys() == other.keys()
    assert not set(first.values()) & set(other.values())


def test_a_video_may_have_one_frame(tmp_path):
    made = write_videos(tmp_path / "set", {"train": 1}, size=SIZE, frames=1)
    assert len(made["train"]) == 1
    assert len(np.unique(made["train"].video.instances)) == len(made["train"].boxes)


def test_pixels_are_held_of_no_frame_that_is_written(tmp_path, monkeypatch):
    held = []

    def watched(*arguments):
        for frame in film(*arguments):
            held.append(ref(frame.image))
            yield frame
            del frame
            assert sum(one() is not None for one in held) <= 2  # the last, and what holds it

    monkeypatch.setattr("tinyscope.data.synthetic.videos.film", watched)
    write_videos(tmp_path / "set", {"train": 1}, size=SIZE, frames=6)
    assert len(held) == 6


def test_wrong_numbers_of_frames_are_named(tmp_path):
    with pytest.raises(SettingsError, match="frames must be one or more in every video, got 0"):
        write_videos(tmp_path / "set", frames=0)


def call(*arguments):
    """Exit code of the command."""
    with pytest.raises(SystemExit) as caught:
        main(["synthetic", *map(str, arguments)])
    return caught.value.code or 0


def test_the_command_writes_videos(tmp_path, capsys):
    numbers = ["--train", "1", "--val", "1", "--size", "64", "80", "--frames", "2"]
    assert call(tmp_path / "set", "--kind", "video", *numbers) == 0
    assert "1 videos to train, 1 to validate" in capsys.readouterr().out
    assert len(list((tmp_path / "set/images/val/00000").glob("*.png"))) == 2
    assert call(tmp_path / "no", *numbers) == 2
    assert "--frames 2 is for videos" in capsys.readouterr().err
