"""What becomes of proposals of which nothing is left in the image."""

import pytest
import torch

from tinyscope.detectors.proposals import ProposalLimits, ProposalStage
from tinyscope.matching.assign.max_iou import MaxIouAssigner
from tinyscope.matching.coders import DeltaCoder
from tinyscope.matching.priors import Anchors
from tinyscope.matching.sample.random import RandomSampler
from tinyscope.nn.heads.rpn import RpnHead
from tinyscope.types import DenseOutputs, Pyramid


def proposed(**options):
    """Boxes of a row of four cells, 8 px wide, of which the image shows the first two."""
    stage = ProposalStage(
        RpnHead(4, 1),
        Anchors((8,), scale=1.0, ratios=(1.0,), offset=0.5),
        MaxIouAssigner(),
        RandomSampler(),
        DeltaCoder(),
        **options,
    )
    outputs = DenseOutputs(
        Pyramid((torch.zeros(1, 4, 1, 4),), (8,)), torch.zeros(1, 4, 1), torch.zeros(1, 4, 4)
    )
    return stage.propose(outputs, [(8, 16)], ProposalLimits(10, 10))[0]


def test_they_are_dropped():
    assert (proposed().boxes[:, 2] > proposed().boxes[:, 0]).all()
    assert len(proposed()) == 2


def test_they_are_kept_on_request():
    assert len(proposed(keep_empty=True)) == 4


@pytest.mark.parametrize("keep", [False, True])
def test_a_least_side_drops_them_in_any_case(keep):
    assert len(proposed(keep_empty=keep, min_side=1.0)) == 2
