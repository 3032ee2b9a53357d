"""Which levels the best anchors lie on, and the factors that follow."""

import json

import pytest
import torch

from tinyscope.analysis import fusion
from tinyscope.analysis.fusion import FusionReport, best_anchors_per_level, fusion_factors
from tinyscope.matching.priors import Anchors

CPU = torch.device("cpu")
PRIORS = Anchors((4, 8, 16), scale=2.0, ratios=(1.0,))(((16, 16), (8, 8), (4, 4)), CPU)
"""Squares of 8, 16 and 32 px at the corners of cells."""


def around(x: float, y: float, side: float) -> list[float]:
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def test_an_object_counts_on_the_level_of_its_best_anchor():
    boxes = torch.tensor([around(12, 12, 7), around(16, 32, 17), around(32, 32, 30)])
    assert best_anchors_per_level(PRIORS, boxes, 3).tolist() == [1, 1, 1]


def test_an_anchor_that_is_best_for_two_objects_counts_once():
    boxes = torch.tensor([around(12, 12, 7), around(12, 12, 8), around(40, 12, 8)])
    assert best_anchors_per_level(PRIORS, boxes, 3).tolist() == [2, 0, 0]


def test_an_object_that_no_anchor_touches_does_not_count():
    boxes = torch.tensor([around(500, 500, 8)])
    assert best_anchors_per_level(PRIORS, boxes, 3).tolist() == [0, 0, 0]


def test_without_objects_there_is_nothing_to_count():
    assert best_anchors_per_level(PRIORS, torch.zeros(0, 4), 3).tolist() == [0, 0, 0]


def test_counts_do_not_depend_on_how_many_pairs_are_held(monkeypatch):
    corners = torch.rand(40, 2) * 50
    boxes = torch.cat([corners, corners + 2 + torch.rand(40, 2) * 20], dim=1)
    whole = best_anchors_per_level(PRIORS, boxes, 3)
    monkeypatch.setattr(fusion, "PAIRS", 3 * len(PRIORS))
    assert torch.equal(best_anchors_per_level(PRIORS, boxes, 3), whole)


@pytest.mark.parametrize(
    ("counts", "taking_part", "expected"),
    [
        ([1000, 500, 300, 100, 50], 4, (0.5, 0.6, 0.5)),  # levels 4 and 5 count together
        ([1000, 500, 300, 100], 4, (0.5, 0.6, 0.333)),
        ([100, 50], 4, (0.5, 1.0, 1.0)),  # of what does not come out nothing is known
        ([0, 0, 5], 3, (1.0, 2.0)),
        ([10, 0, 0], 3, (0.2, 1.0)),
        ([7], 1, ()),
    ],
)
def test_a_factor_is_the_coarser_levels_count_over_the_finers(counts, taking_part, expected):
    assert fusion_factors(counts, taking_part) == expected


def test_bounds_are_options():
    assert fusion_factors([1, 100], 2, most=50.0) == (50.0,)
    assert fusion_factors([100, 1], 2, least=0.0) == (0.01,)


def test_a_report_says_the_setting():
    report = FusionReport("mine", (4, 8, 16), (10, 5, 1), (0.5, 0.2), 3, 17)
    assert report.setting == "model.neck.fusion=[0.5, 0.2]"
    assert "--set 'model.neck.fusion=[0.5, 0.2]'" in report.table
    assert "mine: 17 objects in 3 samples" in report.table
    assert json.loads(report.to_json())["fusion"] == [0.5, 0.2]
