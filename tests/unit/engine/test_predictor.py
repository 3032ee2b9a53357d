from types import SimpleNamespace

import numpy as np
import pytest
import torch
from finder import finder, picture
from PIL import Image

from tinyscope.detectors.looks import between_frames
from tinyscope.engine.detector import Detector, load, pixels
from tinyscope.engine.predictor import side_divisor
from tinyscope.errors import CheckpointError, DataError, SettingsError
from tinyscope.settings import load_recipe
from tinyscope.types import Detections

OBJECTS = [
    (3, 4, 8, 9, 200),
    (29, 30, 36, 35, 202),
    (60, 28, 66, 34, 201),
    (31, 60, 34, 63, 204),
    (125, 85, 130, 90, 205),
]


def rows(found):
    return sorted(
        (*box, label)
        for box, label in zip(found.boxes.tolist(), found.labels.tolist(), strict=True)
    )


EXPECTED = sorted(([*map(float, o[:4]), o[4] % 2]) for o in OBJECTS)


@pytest.mark.parametrize("merge", ["nms", "soft_nms", "ownership"])
@pytest.mark.parametrize("views", [1, 2, 4, 8])
@pytest.mark.parametrize("tile", [0, 32, (40, 64), 500])
def test_tiles_find_what_the_whole_image_holds(tile, views, merge):
    found = finder(merge={"name": merge}).predict(
        picture(OBJECTS), tile=tile, overlap=12, views=views, batch=3
    )
    assert rows(found) == [tuple(r) for r in EXPECTED]
    assert found.names == ("even", "odd")
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_the_frame_of_an_enlarged_image_is_mapped_back():
    detector = finder()
    found = detector.predict(picture([(40, 30, 80, 60, 255)]), scale=2.0)
    # Values between the object's and the background's are objects of their own to this model.
    best = found.boxes[found.scores.argmax()]
    torch.testing.assert_close(best, torch.tensor([40.0, 30, 80, 60]), rtol=0, atol=1.0)
    assert detector.model.shapes[-1] == (1, 3, 184, 264)


def test_sides_are_padded_for_the_largest_stride_and_nothing_is_found_in_the_padding():
    detector = finder()
    found = detector.predict(torch.full((3, 9, 13), 200, dtype=torch.uint8))
    assert detector.model.shapes == [(1, 3, 16, 16)]
    assert found.boxes.tolist() == [[0, 0, 13, 9]]


@pytest.mark.parametrize(
    ("backbone", "neck", "expected"),
    [({}, [4, 8], 8), ({"divisor": 32}, [4, 8], 32), ({"divisor": 32}, [4, 64], 64), ({}, [], 1)],
)
def test_sides_are_padded_for_the_backbone_too(backbone, neck, expected):
    model = torch.nn.Module()
    model.backbone, model.neck = SimpleNamespace(**backbone), SimpleNamespace(strides=neck)
    assert side_divisor(model) == expected


def test_a_stamp_says_nothing_of_tiles_where_there_are_none():
    tiled, whole = finder().predictor(tile=64, overlap=16), finder().predictor(tile=0, overlap=16)
    assert {"tile": 64, "overlap": 16, "tiling": "flush"}.items() <= tiled.stamp.items()
    assert [whole.stamp[key] for key in ("tile", "overlap", "tiling")] == [None, None, None]


def test_tiles_go_through_the_model_in_batches():
    detector = finder()
    detector.predict(picture([], size=(64, 200)), tile=64, overlap=16, batch=3)
    assert [s[0] for s in detector.model.shapes] == [3, 1]


def test_the_model_is_in_eval_mode():
    detector = finder()
    detector.model.train()
    detector.predict(picture([]))
    assert detector.model.modes == [False]


def test_least_score_and_limit_hold():
    many = [(5 * i, 5, 5 * i + 3, 8, 160 + 10 * i) for i in range(8)]
    assert len(finder().predict(picture(many), score_threshold=200 / 255)) == 3
    best = finder().predict(picture(many), limit=2)
    assert [round(s * 255) for s in best.scores.tolist()] == [230, 220]


@pytest.mark.parametrize("tile", [0, 32])
def test_images_of_every_kind_give_the_same(tmp_path, tile):
    image = picture(OBJECTS)
    array = image.permute(1, 2, 0).numpy()
    file = tmp_path / "a.png"
    Image.fromarray(array).save(file)
    kinds = [image, array, array[..., 0], Image.fromarray(array), file, str(file)]
    kinds += [Image.fromarray(array).convert("RGBA"), image[:1].expand(3, -1, -1)]
    results = finder().predict(kinds, tile=tile, overlap=12)
    assert [rows(r) for r in results] == [[tuple(r) for r in EXPECTED]] * len(kinds)


def test_no_images_give_no_results():
    assert finder().predict([]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((5, 5, 3)),
        np.zeros((3, 5, 5), np.uint8),
        torch.zeros(3, 5, 5),
        torch.zeros(5, 5, 3, dtype=torch.uint8),
        Image.new("I;16", (4, 4)),
    ],
)
def test_what_is_no_image_is_refused(wrong):
    with pytest.raises(DataError, match=r"an image of (numpy|torch|Pillow)"):
        finder().predict(wrong)


def test_wrong_settings_name_their_key():
    with pytest.raises(SettingsError, match=r"predict\.tyle.*tile"):
        finder().predict(picture([]), tyle=3)
    with pytest.raises(SettingsError, match="overlap 64 must be smaller than tile 32"):
        finder().predict(picture([]), tile=32)


def test_exif_orientation_of_an_open_image_is_honoured(tmp_path):
    file = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(file, exif=exif)
    with Image.open(file) as image:
        assert pixels(image).shape == (3, 20, 10)


@pytest.fixture
def small_detector():
    torch.manual_seed(1)
    return load("quick/small", names=("car", "boat"))


def test_a_recipe_gives_an_untrained_detector(small_detector):
    assert small_detector.names == ("car", "boat")
    assert not small_detector.model.training


def test_a_saved_detector_finds_the_same(tmp_path, small_detector):
    small_detector.save(tmp_path / "a.ckpt")
    again = load(tmp_path / "a.ckpt")
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    assert again.names == small_detector.names
    assert again.recipe == small_detector.recipe
    for key, value in small_detector.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key])
    one, two = (d.predict(image, score_threshold=0.0) for d in (small_detector, again))
    assert torch.equal(one.boxes, two.boxes)


def test_a_checkpoint_needs_no_file_of_pre_trained_weights(tmp_path, small_detector):
    values = small_detector.recipe.model_dump()
    values["model"]["backbone"]["weights"] = str(tmp_path / "gone.pth")
    recipe = load_recipe("quick/small", [f"model.backbone.weights={tmp_path / 'gone.pth'}"])
    Detector(small_detector.model, recipe, ("car", "boat")).save(tmp_path / "a.ckpt")
    assert load(tmp_path / "a.ckpt").recipe == recipe


def test_weights_of_another_model_are_named(tmp_path, small_detector):
    Detector(small_detector.model, small_detector.recipe, ("car",)).save(tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=r"a\.ckpt: belongs to another model; the first keys"):
        load(tmp_path / "a.ckpt")


def test_an_absent_checkpoint_or_recipe_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load(tmp_path / "best.ckpt")
    with pytest.raises(SettingsError, match="quick/smal"):
        load("quick/smal")


@pytest.mark.parametrize("tiling", ["flush", "runtime", "clipped", "trimmed"])
@pytest.mark.parametrize("merge", ["nms", "soft_nms", "ownership"])
def test_oblong_tiles_of_every_tiling_find_what_the_whole_image_holds(tiling, merge):
    detector = finder(merge={"name": merge}, tiling=tiling)
    found = detector.predict(picture(OBJECTS), tile=(32, 56), overlap=12, batch=3)
    assert rows(found) == [tuple(r) for r in EXPECTED]
    assert {s[2:] for s in detector.model.shapes} >= {(32, 56)}


def test_windows_may_be_given_instead_of_a_grid():
    detector = finder()
    windows = np.array([[0, 0, 40, 90], [24, 0, 130, 60], [24, 50, 130, 90]])
    found = detector.predictor()(picture(OBJECTS), windows)
    assert rows(found) == [tuple(r) for r in EXPECTED]
    enlarged = detector.predictor(scale=2.0)
    assert len(enlarged(picture([(40, 30, 80, 60, 255)]), windows)) >= 1
    assert {tuple(s[2:]) for s in detector.model.shapes[-3:]} == {(184, 80), (120, 216), (80, 216)}


class Undecided(torch.nn.Module):
    """Finds each object twice in a window, once with a lower score, unless it shall decide."""

    strides = (8,)

    def __init__(self):
        super().__init__()
        self.model = finder().model
        self.asked = []

    def forward(self, images):
        return self.model(images)

    def decode(self, outputs, sizes, score_threshold=None):
        self.asked.append("decided")
        return self.model.decode(outputs, sizes)

    def decode_undecided(self, looks, sizes, score_threshold=None):
        self.asked.append("undecided")
        (look,) = looks
        found = self.model.decode(look.outputs, look.sizes)
        return [
            Detections(
                torch.cat([f.boxes, f.boxes + 0.5]),
                torch.cat([f.scores, f.scores / 2]),
                torch.cat([f.labels, f.labels]),
            )
            for f in found
        ]


@pytest.mark.parametrize("views", [1, 4])
@pytest.mark.parametrize("tile", [0, 48])
def test_one_suppression_over_the_image_does_for_detectors_that_leave_it(tile, views):
    model = Undecided()
    options = {"tile": tile, "overlap": 12, "views": views}
    detector = Detector(model, finder().recipe, ("even", "odd"))
    rule = {"name": "pooled_nms", "iou_threshold": 0.5}
    found = detector.predict(picture(OBJECTS), merge={**rule, "undecided": True}, **options)
    assert rows(found) == [tuple(r) for r in EXPECTED]
    assert set(model.asked) == {"undecided"}
    detector.predict(picture(OBJECTS), merge=rule, **options)
    assert model.asked[-1] == "decided"


def test_a_detector_that_cannot_leave_its_decisions_is_named():
    with pytest.raises(SettingsError, match=r"predict\.merge\.undecided: a Finder decides"):
        finder().predict(picture([]), merge={"name": "pooled_nms", "undecided": True})


def test_the_best_are_kept_and_stand_first_though_the_rule_keeps_the_order_of_the_input():
    found = finder().predict(
        picture(OBJECTS), tile=48, overlap=12, merge={"name": "tinybenchmark"}, limit=3
    )
    assert [round(s * 255) for s in found.scores.tolist()] == [205, 204, 202]


def test_all_detections_are_kept_without_a_limit():
    many = [(7 * i + 1, 5, 7 * i + 4, 8, 160 + 2 * i) for i in range(18)]
    detector = finder(limit="null")
    assert len(detector.predict(picture(many))) == 18
    assert len(detector.predict(picture(many), limit=4)) == 4


def test_overlap_and_shape_of_tiles_are_checked():
    with pytest.raises(SettingsError, match=r"overlap 40 must be smaller than tile \(64, 40\)"):
        finder().predict(picture([]), tile=(64, 40), overlap=40)
    with pytest.raises(SettingsError, match=r"predict\.tiling: got 'flushed'.*did you mean flush"):
        finder().predict(picture([]), tiling="flushed")


class SeesByView(torch.nn.Module):
    """Finds the one object of a tile with another score and another width in each view."""

    strides = (8,)

    def __init__(self, scores, wider):
        super().__init__()
        self.scores, self.wider, self.asked = scores, wider, []

    def forward(self, images):
        return images

    def decode(self, outputs, sizes, score_threshold=None):
        self.asked.append(score_threshold)
        view = len(self.asked) - 1
        ((y1, x1), *_, (y2, x2)) = (outputs[0, 0] == 255).nonzero().tolist()
        score = torch.tensor([self.scores[view]])
        box = torch.tensor([[x1, y1, x2 + 1 + self.wider[view], y2 + 1]]).float()
        seen = score > (score_threshold or 0.0)
        return [Detections(box[seen], score[seen], torch.ones(1).long()[seen])]


def test_what_views_agree_on_has_their_mean_box_and_the_mean_score_of_all_views():
    image = picture([(40, 30, 50, 36, 255)])
    # The second view is mirrored: what it finds too wide at its right is so at the left.
    model = SeesByView((0.8, 0.4, 0.4, 0.001), (0, 2, 1, 0))
    detector = Detector(model, finder().recipe, ("even", "odd"))
    found = detector.predict(image, views=4, voting="mean", score_threshold=0.2)
    left = (0.8 * 40 + 0.4 * 38 + 0.4 * 40) / 1.6
    right = (0.8 * 50 + 0.4 * 50 + 0.4 * 51) / 1.6
    torch.testing.assert_close(found.boxes, torch.tensor([[left, 30, right, 36]]))
    torch.testing.assert_close(found.scores, torch.tensor([1.6 / 4]))
    assert model.asked == [0.05] * 4  # of a lone view; 0.001 is below even that
    model.asked.clear()
    best = detector.predict(image, views=4)
    assert (best.scores.tolist(), best.boxes.tolist()) == ([pytest.approx(0.8)], [[40, 30, 50, 36]])


def test_views_and_votes_that_there_are_not_are_named():
    with pytest.raises(SettingsError, match=r"predict\.views: got 3"):
        finder().predict(picture([]), views=3)
    with pytest.raises(SettingsError, match=r"predict\.voting: got 'median'"):
        finder().predict(picture([]), voting="median")
    undecided = {"name": "pooled_nms", "undecided": True}
    detector = Detector(Undecided(), finder().recipe, ("even", "odd"))
    with pytest.raises(SettingsError, match=r"predict\.voting: got mean, but predict\.merge"):
        detector.predict(picture([]), views=2, voting="mean", merge=undecided)


def test_a_stamp_names_views_where_there_are_several():
    assert not {"views", "voting"} & finder().predictor(voting="mean").stamp.keys()
    stamp = finder().predictor(views=4, voting="mean").stamp
    assert (stamp["views"], stamp["voting"]) == (4, "mean")


def test_a_detector_that_looks_once_is_named():
    with pytest.raises(
        SettingsError, match=r"predict\.zooms: got \[2.0, 3.0\], but a Finder joins"
    ):
        finder().predict(picture([]), zooms=(2.0, 3.0))
    with pytest.raises(SettingsError, match=r"predict\.zooms"):
        finder().predict(picture([]), zooms=())


class LookingAgain(torch.nn.Module):
    """Finds the brightest value of a tile in every look, and says where the last one saw it."""

    strides = (8,)

    def __init__(self):
        super().__init__()
        self.shapes = []

    def forward(self, images):
        self.shapes.append(tuple(images.shape[2:]))
        return images

    def decode_looks(self, looks, sizes, score_threshold=None):
        for look in looks:
            seen = look
        return [
            self._brightest(image[0, : seen_size[0], : seen_size[1]], seen_size, size)
            for image, seen_size, size in zip(seen.outputs, seen.sizes, sizes, strict=True)
        ]

    def _brightest(self, image, seen, size):
        y, x = (image == 255).nonzero(as_tuple=True)
        if not len(x):
            return Detections.empty()
        box = torch.tensor([[x.min(), y.min(), x.max() + 1, y.max() + 1]], dtype=torch.float32)
        return Detections(between_frames(box, seen, size), torch.ones(1), torch.ones(1).long())


@pytest.mark.parametrize("views", [1, 4])
def test_an_object_has_its_place_though_tiles_are_shown_enlarged(views):
    model = LookingAgain()
    detector = Detector(model, finder().recipe, ("even", "odd"))
    found = detector.predict(
        picture([(57, 41, 67, 47, 255)]), tile=(40, 60), overlap=20, views=views, zooms=(1.5, 3)
    )
    best = found.boxes[(found.boxes[:, 2] - found.boxes[:, 0]).argmax()]
    # Bilinear enlargement dims a third of the outermost pixels.
    torch.testing.assert_close(best, torch.tensor([57.0, 41, 67, 47]), rtol=0, atol=0.7)
    assert set(model.shapes) == {(64, 96), (120, 184)}


def test_a_stamp_names_the_enlargements_where_there_are_any():
    detector = Detector(LookingAgain(), finder().recipe, ("even", "odd"))
    assert detector.predictor(zooms=(2, 3)).stamp["zooms"] == (2, 3)
    assert finder().predictor().stamp["zooms"] is None
