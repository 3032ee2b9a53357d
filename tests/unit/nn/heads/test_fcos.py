"""How central a point lies in its object."""

import pytest
import torch

from tinyscope.matching.priors import Points
from tinyscope.nn.heads.fcos import centerness
from tinyscope.types import Priors

CPU = torch.device("cpu")


def points(*places: tuple[float, float]) -> Priors:
    """Points of stride 4."""
    centers = torch.tensor(places, dtype=torch.float32)
    boxes = torch.cat([centers - 2, centers + 2], dim=1)
    count = len(places)
    return Priors(boxes, torch.full((count,), 4.0), torch.zeros(count, dtype=torch.int64))


def test_the_middle_has_1_and_the_side_nothing():
    box = torch.tensor([[0.0, 0.0, 8.0, 16.0]]).expand(3, 4)
    found = centerness(points((4, 8), (2, 8), (0, 8)), box, floor=0.0)
    assert found.tolist() == pytest.approx([1.0, (2 / 6) ** 0.5, 0.0])


def test_a_point_outside_has_a_weight_unless_the_published_rule_is_asked_for():
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert centerness(points((2, 2)), box).item() > 0
    assert centerness(points((2, 2)), box, floor=0.0).item() == 0


def test_a_floor_counts_in_strides():
    box = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
    near_the_side = points((0.1, 4.0))
    expected = (0.1 / 7.9) ** 0.5
    assert centerness(near_the_side, box, floor=0.01).item() == pytest.approx(expected)
    assert centerness(near_the_side, box, floor=0.1).item() == pytest.approx((0.4 / 7.9) ** 0.5)


def test_an_empty_box_gives_no_nan():
    box = torch.tensor([[2.0, 2.0, 2.0, 2.0]])
    assert centerness(points((2, 2)), box, floor=0.0).isfinite().all()


def test_points_of_a_level_lie_where_the_published_ones_do():
    centers = Points((4, 8))(((1, 2), (1, 1)), CPU).centers
    assert centers.tolist() == [[2.0, 2.0], [6.0, 2.0], [4.0, 4.0]]
