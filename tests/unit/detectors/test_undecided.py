"""Suppression that is left to the merge of tiles, and that of proposals across levels."""

import pytest
import torch

from tinyscope.detectors.build import build
from tinyscope.detectors.looks import Look
from tinyscope.detectors.proposals import across_levels
from tinyscope.engine.predictor import Predictor
from tinyscope.errors import SettingsError
from tinyscope.ops.boxes import overlaps
from tinyscope.ops.suppress import nms_per_class
from tinyscope.settings import PredictSettings

SHARED = {
    "backbone": {"name": "resnet", "depth": 18, "width": 8, "strides": [4, 8]},
    "neck": {"name": "fpn", "channels": 16},
    "sampler": {"name": "all"},
}
DENSE = {
    "name": "dense",
    **SHARED,
    "head": {"name": "fcos", "depth": 1},
    "priors": {"name": "points"},
    "assigner": {"name": "center"},
    "coder": {"name": "distance"},
    "score_threshold": 0.3,
    "nms": 0.6,
    "limit": 40,
}
TWO_STAGE = {
    "name": "two_stage",
    "backbone": SHARED["backbone"],
    "neck": SHARED["neck"],
    "rpn": {
        "name": "proposals",
        "head": {"name": "rpn"},
        "priors": {"name": "anchors", "sides": [[8.0], [10.0]]},
        "assigner": {"name": "max_iou"},
        "sampler": {"name": "all"},
        "coder": {"name": "delta"},
        "test_nms_across": 0.5,
    },
    "roi": {
        "name": "boxes",
        "head": {"name": "two_fc", "width": 8},
        "assigner": {"name": "max_iou"},
        "sampler": {"name": "all"},
        "coder": {"name": "delta"},
    },
}


def image():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8, generator=generator)


@pytest.fixture
def dense():
    """A detector with random weights, most of whose priors are candidates."""
    torch.manual_seed(0)
    detector = build(DENSE, classes=2).eval()
    for parameter in detector.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return detector


def test_candidates_that_are_suppressed_later_are_those_that_are_suppressed_at_once(dense):
    with torch.no_grad():
        outputs = dense(image()[None])
    (once,) = dense.decode(outputs, [(64, 96)])
    (every,) = dense.decode_undecided([Look(outputs, [(64, 96)])], [(64, 96)])
    assert len(every) > 10 * len(once) > 0
    assert (every.scores[:-1] >= every.scores[1:]).all()
    kept = nms_per_class(every.boxes, every.scores, every.labels, 0.6, 40)
    assert torch.equal(every.boxes[kept], once.boxes)
    assert torch.equal(every.labels[kept], once.labels)


def test_an_image_of_one_tile_is_suppressed_by_the_rule_alone(dense):
    rule = {"name": "pooled_nms", "iou_threshold": 0.6, "undecided": True}
    later, once = (
        Predictor(dense, ("a", "b"), PredictSettings.model_validate(settings))(image())
        for settings in ({"merge": rule, "limit": 40, "precision": "32"}, {"precision": "32"})
    )
    torch.testing.assert_close(later.boxes, once.boxes)
    torch.testing.assert_close(later.scores, once.scores)


def test_a_second_stage_decides_itself():
    detector = build(TWO_STAGE, classes=2)
    rule = {"name": "pooled_nms", "undecided": True}
    with pytest.raises(SettingsError, match=r"predict\.merge\.undecided: a TwoStageDetector"):
        Predictor(detector, ("a", "b"), PredictSettings.model_validate({"merge": rule}))


def test_proposals_of_different_levels_suppress_each_other_at_test_time_alone():
    torch.manual_seed(0)
    stage = build(TWO_STAGE, classes=2).eval()
    with torch.no_grad():
        outputs = stage(image()[None]).proposals
    of_test, of_training = (
        stage.rpn.propose(outputs, [(64, 96)], limits)[0].boxes
        for limits in (stage.rpn.test_limits, stage.rpn.train_limits)
    )
    assert 0 < len(of_test) < len(of_training)
    assert overlaps(of_test, of_test).triu(1).max() <= 0.5
    assert overlaps(of_training, of_training).triu(1).max() > 0.5


def test_the_best_of_proposals_that_lie_on_each_other_remains():
    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 9], [20, 0, 24, 4]])
    kept = across_levels(boxes, torch.tensor([0.5, 0.6, 0.1]), 0.7)
    assert kept.tolist() == [1, 2]
