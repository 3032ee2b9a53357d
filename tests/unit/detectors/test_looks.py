"""Several looks at the same images, joined before duplicates are suppressed."""

import pytest
import torch
from test_undecided import DENSE, TWO_STAGE, image

from tinyscope.detectors.build import build
from tinyscope.detectors.looks import (
    Look,
    between_frames,
    joined_detections,
    joined_proposals,
    mean_verdict,
)
from tinyscope.detectors.proposals import Proposals
from tinyscope.detectors.roi import Verdict
from tinyscope.engine.predictor import Predictor
from tinyscope.ops.suppress import nms_per_class
from tinyscope.settings import PredictSettings
from tinyscope.types import Detections

POINTS = DENSE | {"candidates": 100, "limit": 100}
FOCAL = POINTS | {
    "head": {"name": "retina", "depth": 1},
    "priors": {"name": "anchors", "octaves": 2},
    "assigner": {"name": "max_iou"},
    "coder": {"name": "delta"},
    "decay": "linear",
    "nms": 0.3,
    "decay_floor": 0.3,
}
SELECTION = {"score_threshold": 0.3, "limit": 100}
SIMPLE = TWO_STAGE | {
    "rpn": {k: v for k, v in TWO_STAGE["rpn"].items() if k != "test_nms_across"}
    | {"nms": 0.3, "test_before": 100, "test_after": 400},
    "roi": TWO_STAGE["roi"] | SELECTION,
}
FOVEA = POINTS | {
    "head": {"name": "fovea", "depth": 1},
    "assigner": {"name": "fovea", "ranges": [[1.0, 16.0], [8.0, 64.0]]},
    "coder": {"name": "fovea"},
    "border": 1,
}
STAGE = TWO_STAGE["roi"] | {"head": {"name": "two_fc", "width": 8, "per_class": False}}
CASCADE = SIMPLE | {"roi": {"name": "cascade", "stages": [STAGE, STAGE | SELECTION]}}
MODELS = {
    "fcos": POINTS,
    "retina": FOCAL,
    "fovea": FOVEA,
    "two_stage": SIMPLE,
    "cascade": CASCADE,
}
OWN, SEEN = (40, 60), (80, 120)
"""Size of an image, and that at which the second look shows it."""


def made(name):
    """A detector with random weights that finds much."""
    torch.manual_seed(0)
    detector = build(MODELS[name], classes=2).eval()
    for part in (getattr(detector, "head", None), getattr(detector, "roi", None)):
        for parameter in part.parameters() if part else ():
            torch.nn.init.normal_(parameter, std=0.3)
    return detector


def looked_at(detector):
    """Two looks at two images, padded."""
    torch.manual_seed(1)
    first = torch.randint(0, 256, (2, 3, 40, 64), dtype=torch.uint8)
    second = torch.randint(0, 256, (2, 3, 80, 128), dtype=torch.uint8)
    with torch.no_grad():
        return [Look(detector(first), [OWN] * 2), Look(detector(second), [SEEN] * 2)]


def same(found, expected):
    assert len(expected) > 5
    for one, other in zip(
        (found.boxes, found.scores, found.labels),
        (expected.boxes, expected.scores, expected.labels),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["fcos", "retina", "fovea"])
def test_one_stage_suppresses_the_candidates_of_all_looks_once(name):
    detector = made(name)
    looks = looked_at(detector)
    found = detector.decode_looks(looks, [OWN] * 2)
    for i in range(2):
        parts = [detector.decode_undecided([look], look.sizes)[i] for look in looks]
        boxes = torch.cat([parts[0].boxes, parts[1].boxes / 2])
        scores, labels = (
            torch.cat([getattr(part, key) for part in parts]) for key in ("scores", "labels")
        )
        same(found[i], detector.suppress(boxes, scores, labels))


@pytest.mark.parametrize("name", ["two_stage", "cascade"])
def test_two_stages_join_proposals_and_average_what_looks_say_of_them(name):
    detector = made(name)
    looks = looked_at(detector)
    found = detector.decode_looks(looks, [OWN] * 2)
    proposed = [
        detector.rpn.propose(look.outputs.proposals, look.sizes, detector.rpn.test_limits)
        for look in looks
    ]
    for i in range(2):
        boxes = torch.cat([proposed[0][i].boxes, proposed[1][i].boxes / 2])
        scores = torch.cat([proposed[0][i].scores, proposed[1][i].scores])
        alike = torch.zeros(len(boxes), dtype=torch.int64)
        kept = nms_per_class(boxes, scores, alike, 0.3, 400)
        assert len(proposed[0][i]) < len(kept) < len(boxes)
        shown = [[boxes[kept]] * 2, [boxes[kept] * 2] * 2]
        said = [
            detector.roi.classify(look.outputs.pyramid, rois, look.sizes)[i]
            for look, rois in zip(looks, shown, strict=True)
        ]
        mean = Verdict(
            (said[0].scores + said[1].scores) / 2, (said[0].boxes + said[1].boxes / 2) / 2
        )
        same(found[i], detector.roi.select(mean))


@pytest.mark.parametrize("name", MODELS)
def test_a_single_look_is_what_decode_says(name):
    detector = made(name)
    look = looked_at(detector)[0]
    for once, again in zip(
        detector.decode(look.outputs, look.sizes),
        detector.decode_looks(iter([look]), look.sizes),
        strict=True,
    ):
        same(again, once)


def test_the_least_score_holds_for_what_looks_say_together():
    detector = made("two_stage")
    looks = looked_at(detector)
    every = detector.decode_looks(looks, [OWN] * 2, 0.0)[0].scores
    some = detector.decode_looks(looks, [OWN] * 2, float(every.median()))[0].scores
    torch.testing.assert_close(some, every[every > every.median()])
    detector = made("fcos")
    looks = looked_at(detector)
    every, some = (
        detector.decode_undecided(looks, [OWN] * 2, floor)[0].scores for floor in (0.0, 0.6)
    )
    assert 0 < len(some) < len(every)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("views", [1, 4])
def test_a_zoom_of_a_whole_image_equals_enlarging_it_first(name, views):
    detector = made(name)
    options = {"views": views, "precision": "32", "score_threshold": 0.4}
    enlarged, zoomed = (
        Predictor(detector, ("a", "b"), PredictSettings.model_validate({**options, **more}))(
            image()[:, :37, :53]  # neither side becomes whole
        )
        for more in ({"scale": 1.5}, {"zooms": (1.5,)})
    )
    same(zoomed, enlarged)


@pytest.mark.parametrize("name", MODELS)
def test_tiles_are_looked_at_at_every_enlargement(name):
    detector = made(name)
    shapes = []
    detector.register_forward_pre_hook(lambda _, images: shapes.append(tuple(images[0].shape)))
    settings = {"tile": (30, 50), "overlap": 10, "zooms": (2, 3), "batch": 2, "precision": "32"}
    found = Predictor(detector, ("a", "b"), PredictSettings.model_validate(settings))(image())
    assert len(found) > 5
    # A row of the 3 x 3 tiles is a batch of two and one; 90 rows are padded to 96.
    assert sorted(set(shapes)) == [(n, 3, *s) for n in (1, 2) for s in ((64, 104), (96, 152))]
    assert len(shapes) == 2 * len([s for s in shapes if s[2] == 64])


def test_undecided_candidates_of_all_looks_are_merged_by_the_rule():
    detector = made("fcos")
    rule = {"name": "pooled_nms", "iou_threshold": 0.6, "undecided": True}
    later, once = (
        Predictor(detector, ("a", "b"), PredictSettings.model_validate(settings))(image())
        for settings in (
            {"merge": rule, "limit": 100, "precision": "32", "zooms": (1, 2)},
            {"precision": "32", "zooms": (1, 2)},
        )
    )
    same(later, once)


def test_frames_differ_by_the_exact_factor_of_each_axis():
    boxes = torch.tensor([[[10.0, 20.0, 79.0, 111.0]]])
    found = between_frames(boxes, (111, 79), (37, 53))
    torch.testing.assert_close(found, torch.tensor([[[530 / 79, 20 / 3, 53.0, 37.0]]]))
    assert between_frames(boxes, (5, 6), (5, 6)) is boxes


def test_nothing_found_in_a_look_leaves_what_others_found():
    one = Detections(torch.ones(1, 4), torch.tensor([0.5]), torch.tensor([1]))
    assert len(joined_detections([Detections.empty(), one])) == 1
    assert len(joined_detections([Detections.empty(), Detections.empty()])) == 0
    none = Proposals(torch.zeros(0, 4), torch.zeros(0))
    assert len(joined_proposals([none, none], 0.7, 5)) == 0
    empty = Verdict(torch.zeros(0, 3), torch.zeros(0, 1, 4))
    assert mean_verdict([empty, empty]).boxes.shape == (0, 1, 4)


def test_proposals_of_several_looks_suppress_each_other_and_the_best_stay():
    boxes = torch.tensor([[0.0, 0, 8, 8], [20, 0, 28, 8], [40, 0, 48, 8]])
    first = Proposals(boxes, torch.tensor([0.9, 0.5, 0.3]))
    second = Proposals(boxes + 0.5, torch.tensor([0.8, 0.6, 0.2]))
    found = joined_proposals([first, second], 0.7, 2)
    assert found.boxes.tolist() == [[0, 0, 8, 8], [20.5, 0.5, 28.5, 8.5]]
    assert joined_proposals([first], 0.0, 1) is first
