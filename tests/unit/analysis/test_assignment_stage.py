"""The assigning part of a detector does what the detector's own training does."""

import pytest
import torch

from tinyscope.analysis.assignment_stage import AssigningStage
from tinyscope.data.batches import collate
from tinyscope.detectors.build import build
from tinyscope.detectors.matching import match_batch
from tinyscope.engine.predictor import side_divisor
from tinyscope.settings import load_recipe
from tinyscope.types import IGNORED, Sample, Target

TARGET = Target(
    torch.tensor([[8.0, 8, 13, 12], [30, 20, 50, 45], [0, 40, 24, 56]]),
    torch.zeros(3, dtype=torch.int64),
    torch.tensor([False, False, True]),
)
TINY = "model.backbone={name: resnet, depth: 18, width: 8}"


def stage_of(recipe: str, *overrides: str) -> AssigningStage:
    with torch.device("meta"):
        detector = build(load_recipe(recipe, overrides).model, 1)
    return AssigningStage.of(detector, side_divisor(detector))


def test_levels_are_as_large_as_those_of_a_padded_batch():
    found = stage_of("quick/small")([TARGET, Target.empty()], [(50, 60), (64, 33)])
    assert torch.bincount(found.priors.levels).tolist() == [16 * 16, 8 * 8, 4 * 4]
    assert found.taking_part == (None, None)
    assert len(found.rows) == 2
    assert (found.rows[1] < 0).all()


@pytest.mark.parametrize("recipe", ["quick/small", "quick/retinanet"])
def test_positive_priors_are_those_that_training_learns_from(recipe):
    stage = stage_of(recipe, TINY) if recipe == "quick/retinanet" else stage_of(recipe)
    found = stage([TARGET], [(64, 64)])
    with torch.device("meta"):
        detector = build(load_recipe(recipe).model, 1)
    (learned,) = match_batch(
        found.priors, [TARGET], detector.assigner, detector.sampler, ignore_threshold=0.5
    )
    assert not stage.first_of_two
    assert len(learned.positive)
    assert (found.rows[0] >= 0).nonzero()[:, 0].tolist() == learned.positive.tolist()
    boxes = TARGET.boxes[:2][found.rows[0][learned.positive]]
    torch.testing.assert_close(boxes, learned.boxes)


def test_ignored_regions_are_spared():
    found = stage_of("quick/small")([TARGET], [(64, 64)])
    x, y = found.priors.centers.T
    in_region = (x < 20) & (y > 42) & (y < 54) & (found.priors.levels == 0)
    assert in_region.any()
    assert (found.rows[0][in_region] == IGNORED).all()


def test_of_two_stages_the_first_is_taken_with_its_rules():
    stage = stage_of("quick/faster_rcnn", TINY, "model.rpn.overhang=0")
    found = stage([TARGET], [(64, 64)])
    assert stage.first_of_two
    (there,) = found.taking_part
    assert there is not None
    inside = (found.priors.boxes[:, :2] >= 0).all(1) & (found.priors.boxes[:, 2:] < 64).all(1)
    assert there.tolist() == inside.tolist()
    assert (found.rows[0][~there] == IGNORED).all()


def test_sides_are_those_of_the_priors_of_every_level():
    # Fields of 57, 121 and 185 px, of which half counts.
    assert stage_of("quick/rfla").sides == ((28.5,), (60.5,), (92.5,))
    assert stage_of("quick/small").sides == ((4.0,), (8.0,), (16.0,))
    # Three shapes of one area, at three sides.
    assert stage_of("quick/retinanet", TINY).sides[0] == (8.0, 10.1, 12.7)


@pytest.mark.parametrize("recipe", ["quick/small", "quick/faster_rcnn"])
def test_levels_are_as_large_as_those_of_a_forward_pass(recipe):
    """Also where a level is every second cell of the one before (Faster R-CNN's last)."""
    sizes = [(97, 131), (65, 33)]
    stage = stage_of(recipe, TINY) if recipe == "quick/faster_rcnn" else stage_of(recipe)
    overrides = [TINY] if recipe == "quick/faster_rcnn" else []
    detector = build(load_recipe(recipe, overrides).model, 1)
    samples = [Sample(torch.zeros(3, *size, dtype=torch.uint8), Target.empty()) for size in sizes]
    images = collate(samples, side_divisor(detector)).images.float()
    with torch.no_grad():
        pyramid = detector.neck(detector.backbone(images))
    cells = [height * width for height, width in pyramid.sizes]
    found = stage([Target.empty()] * 2, sizes).priors
    assert (torch.bincount(found.levels) // stage.priors.per_cell).tolist() == cells
