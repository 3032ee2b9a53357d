"""What an assignment gives every object, against counts by hand."""

import numpy as np
import pytest
import torch

from tinyscope.analysis.assignment import Tally, answers
from tinyscope.types import BACKGROUND, IGNORED, Priors

PRIORS = Priors(
    torch.tensor([[0.0, 0, 4, 4], [4, 0, 8, 4], [0, 0, 8, 8], [8, 8, 16, 16], [8, 0, 16, 8]]),
    torch.tensor([4.0, 4, 8, 8, 8]),
    torch.tensor([0, 0, 1, 1, 1]),
)
BOXES = torch.tensor([[0.0, 0, 4, 4], [0, 0, 8, 4], [20, 20, 21, 21]])
ASSIGNED = torch.tensor([0, 1, 1, BACKGROUND, IGNORED])


def test_priors_of_an_object_are_counted_by_level_and_compared_with_it():
    found = answers(BOXES, ASSIGNED, PRIORS, levels=3)
    assert found.per_level.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert found.counts.tolist() == [1, 2, 0]
    assert found.sides.tolist() == pytest.approx([4, 32**0.5, 1])
    # KL is (1/4 + 1 + 1/4 + ln 4 - 2) / 2 of the second prior, (1 + 4 + 1 - ln 4 - 2) / 2 of
    # the third.
    near, far = 1 / (1 + 0.4431472), 1 / (1 + 1.3068528)
    expected = [[1, 1, 1, 1], [0.5, 0.5, near, (near + far) / 2], [torch.nan] * 4]
    torch.testing.assert_close(
        found.measures, torch.tensor(expected), rtol=0, atol=1e-5, equal_nan=True
    )


def test_a_tally_counts_by_size_and_number_of_priors():
    tally = Tally.of(answers(BOXES, ASSIGNED, PRIORS, 3), ASSIGNED)
    assert tally.objects.tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], *[[0] * 4] * 3]
    assert tally.positives.tolist() == [[0, 0, 0], [2, 1, 0], *[[0] * 3] * 3]
    assert tally.per_level == (2, 1, 0)
    assert tally.priors.tolist() == [3, 1, 1, 0]
    assert tally.counts == {"all": 3, "< 2": 1, "2-8": 2, "8-16": 0, "16-32": 0, ">= 32": 0}
    assert tally.shares["all"] == pytest.approx(
        {"none": 1 / 3, "one": 1 / 3, "two": 1 / 3, "three or more": 0}
    )
    assert tally.shares["8-16"] is None
    assert tally.priors_per_object["2-8"] == 1.5
    assert tally.likeness["2-8"] is not None
    assert tally.likeness["2-8"]["best IoU"] == pytest.approx(0.75)
    assert tally.likeness["all"] == tally.likeness["2-8"]  # of those that have a prior
    assert tally.likeness["< 2"] is None


def test_priors_that_an_image_has_not_are_told_from_ignored_ones():
    there = torch.tensor([True, True, True, True, False])
    tally = Tally.of(answers(BOXES, ASSIGNED, PRIORS, 3), ASSIGNED, there)
    assert tally.priors.tolist() == [3, 1, 0, 1]


def test_tallies_of_images_add_up():
    one = Tally.of(answers(BOXES, ASSIGNED, PRIORS, 3), ASSIGNED)
    nothing = torch.full((5,), BACKGROUND)
    empty = Tally.of(answers(torch.zeros(0, 4), nothing, PRIORS, 3), nothing)
    total = Tally.empty(3) + one + empty + one
    assert np.array_equal(total.objects, 2 * one.objects)
    assert np.allclose(total.measures, 2 * one.measures)
    assert total.priors.tolist() == [6, 7, 2, 0]
    assert total.likeness["all"] == pytest.approx(one.likeness["all"])


@pytest.mark.parametrize(
    ("side", "column"), [(1.9, 0), (2, 1), (8, 2), (16, 3), (31.9, 3), (32, 4)]
)
def test_a_border_belongs_to_the_larger_size(side, column):
    boxes = torch.tensor([[0.0, 0, side, side]])
    nothing = torch.full((5,), BACKGROUND)
    tally = Tally.of(answers(boxes, nothing, PRIORS, 3), nothing)
    assert tally.objects[:, 0].tolist() == [int(i == column) for i in range(5)]
