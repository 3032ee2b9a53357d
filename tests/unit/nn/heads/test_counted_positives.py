"""What losses of anchors are divided by where an image has no positive."""

import pytest
import torch

from tinyscope.matching.coders import DeltaCoder
from tinyscope.nn.heads.classify import count_of
from tinyscope.nn.heads.retina import RetinaHead
from tinyscope.nn.heads.rpn import RpnHead
from tinyscope.types import DenseOutputs, Matches, Priors, Pyramid

BOX = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
PRIORS = Priors.of_boxes(BOX.repeat(6, 1))


def matches(positive, negative):
    """Of an image with so many of each."""
    return Matches(
        torch.arange(positive),
        torch.arange(positive, positive + negative),
        torch.zeros(positive, dtype=torch.int64),
        BOX.repeat(positive, 1) + 1,
    )


def outputs():
    pyramid = Pyramid((torch.zeros(2, 4, 2, 3),), (4,))
    return DenseOutputs(pyramid, torch.zeros(2, 6, 1), torch.zeros(2, 6, 4))


def test_every_image_counts_at_least_as_stated():
    rows = [torch.arange(3), torch.arange(0)]
    assert [int(count_of(rows, floor)) for floor in (0, 1, 2)] == [3, 4, 5]
    assert int(count_of([], 1)) == 0


@pytest.mark.parametrize(("floor", "count"), [(0, 3), (1, 4)])
def test_a_retina_loss_is_divided_by_the_positives_of_all_images(floor, count):
    image = [matches(3, 3), matches(0, 6)]
    with_floor = RetinaHead(4, (4,), 1, 1, depth=0, count_floor=floor)
    found = with_floor.loss(outputs(), image, PRIORS, DeltaCoder())
    summed = RetinaHead(4, (4,), 1, 1, depth=0).loss(outputs(), image, PRIORS, DeltaCoder())
    for name, loss in found.items():
        torch.testing.assert_close(loss * count, summed[name] * 3)


@pytest.mark.parametrize(("floor", "count"), [(0, 9), (1, 10)])
def test_a_proposal_loss_is_divided_by_all_that_was_sampled(floor, count):
    image = [matches(3, 2), matches(0, 4)]
    found = RpnHead(4, 1, count_floor=floor).loss(outputs(), image, PRIORS, DeltaCoder())
    summed = RpnHead(4, 1).loss(outputs(), image, PRIORS, DeltaCoder())
    for name, loss in found.items():
        torch.testing.assert_close(loss * count, summed[name] * 9)
