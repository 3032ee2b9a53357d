"""The rule for depths on cost models small enough to see through."""

from itertools import product

import numpy as np
import pytest
import torch

from tinyscope.analysis.construct import bottom_heavy_depths, tiers_of
from tinyscope.analysis.construct_hrnet import bottom_heavy_branches
from tinyscope.analysis.stage_costs import StageCosts, block_operations, stage_costs
from tinyscope.analysis.suggest import suggest
from tinyscope.errors import SettingsError
from tinyscope.nn.backbones.bottom_heavy import BottomHeavyResNet

EVEN = StageCosts(10, (100, 100, 100), (100, 100, 100))


def narrow(blocks):
    return BottomHeavyResNet(blocks, block="basic", width=4)


def test_costs_of_blocks_add_up_to_those_of_the_network():
    operations, parameters = stage_costs(narrow, 3, (64, 64))
    with torch.device("meta"):
        network = narrow((3, 1, 2))
    assert operations.of((3, 1, 2)) == sum(block_operations(network, (64, 64)).values())
    assert parameters.of((3, 1, 2)) == sum(p.numel() for p in network.parameters())


def test_all_depths_within_the_budget_are_found():
    costs = StageCosts(7, (30, 50, 41), (23, 31, 37))
    found = bottom_heavy_depths(costs, (2, 2, 4), 400, tolerance=0.1)
    every = [d for d in product(range(1, 20), repeat=3) if abs(costs.of(d) - 400) <= 40]
    assert [tuple(depths) for depths in found.depths.tolist()] == every
    assert found.operations.tolist() == [costs.of(depths) for depths in every]


def test_falling_depths_come_before_equal_ones():
    found = bottom_heavy_depths(EVEN, (2, 2, 4), 810, tolerance=0.0)
    assert found.chosen.depths == (4, 3, 1)
    assert found.chosen.tier == 1
    rows = np.array([(4, 3, 1), (3, 3, 2), (2, 4, 2), (2, 2, 4)])
    assert tiers_of(rows, (2, 2, 4), 2).tolist() == [1, 2, 3, 0]


def test_a_tie_goes_to_the_nearer_cost_and_then_to_smaller_numbers():
    dearer = StageCosts(10, (100, 100, 100), (101, 100, 100))
    kept = bottom_heavy_depths(dearer, (2, 2, 5), 1010, tolerance=0.01)
    assert kept.chosen.depths == (5, 4, 1)
    even = bottom_heavy_depths(EVEN, (2, 2, 5), 1010, tolerance=0.0)
    assert even.chosen.depths == (5, 4, 1)
    assert [c.depths for c in even.runners_up(9)] == [(6, 3, 1), (5, 3, 2)]


def test_no_network_within_the_budget_says_what_the_least_is():
    with pytest.raises(SettingsError, match=r"budget 1e-07 G: none of the 0 .* 3.1e-07 G"):
        bottom_heavy_depths(EVEN, (2, 2, 4), 100)
    with pytest.raises(SettingsError, match="early 3: must be from 1 to 2"):
        bottom_heavy_depths(EVEN, (2, 2, 4), 810, early=3)


@pytest.mark.parametrize(("side", "early"), [(3, 1), (18, 2), (40, 3), (500, 3)])
def test_larger_objects_let_more_stages_grow(side, early):
    found = suggest(
        {"name": "resnet", "depth": 18, "width": 8}, (64, 64), object_side=side, tolerance=0.1
    )
    assert sum(found.chosen.blocks[:early]) > 2 * early
    assert sum(found.chosen.blocks[early:]) < 2 * (4 - early)


def test_a_larger_budget_gives_a_deeper_network():
    backbone = {"name": "resnet", "depth": 34, "width": 8, "strides": [4, 8, 16], "weights": "x"}
    backbone |= {"norm_eval": True, "norm_affine": False, "frozen_stages": 1}
    found = suggest(backbone, (64, 96), tolerance=0.03)
    more = suggest(backbone, (64, 96), budget=2 * found.budget, tolerance=0.03)
    assert sum(more.chosen.blocks) > 1.5 * sum(found.chosen.blocks)
    assert more.backbone == {
        "name": "bottom_heavy",
        "width": 8,
        "strides": [4, 8, 16],
        "block": "basic",
        "blocks": [*more.chosen.blocks],
    }
    assert abs(more.chosen.deviation) <= 0.03


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "third", "fourth", "deviation"),
    [(18, (3, 3, 3), (2, 2, 2, 2), -0.0026), (32, (2, 2, 2), (2, 2, 1, 1), -0.0008)],
)
def test_hrnets_are_those_of_the_paper(width, third, fourth, deviation):
    found = suggest({"name": "hrnet", "width": width}, (512, 640))
    assert found.chosen.blocks == ((4, 4), third, fourth)
    assert found.chosen.deviation == pytest.approx(deviation, abs=5e-5)


def test_what_cannot_be_suggested_is_said():
    with pytest.raises(SettingsError, match="'timm' has no stages whose blocks could move"):
        suggest({"name": "timm", "model": "resnet18"}, (64, 64))
    with pytest.raises(SettingsError, match=r"no HRNet of width 4 lies within 1.00% of it"):
        bottom_heavy_branches(4, (64, 64), 10**6)
    with pytest.raises(SettingsError, match="object side 8: which stages of an HRNet"):
        suggest({"name": "hrnet", "width": 4}, (64, 64), object_side=8)


def test_the_depths_of_resnet_101():
    found = suggest({"name": "resnet", "depth": 101}, (512, 640))
    assert found.chosen.blocks == (16, 14, 2, 1)
    assert found.chosen.deviation == pytest.approx(0.0081, abs=5e-5)


def test_a_budget_four_times_as_large_is_met_and_a_larger_one_refused():
    backbone = {"name": "resnet", "depth": 101, "width": 8}
    own = suggest(backbone, (64, 64)).budget
    assert sum(suggest(backbone, (64, 64), budget=4 * own).chosen.blocks) > 100
    with pytest.raises(SettingsError, match=r"budget .* G: is more than 4 times .* at 64x64"):
        suggest(backbone, (64, 64), budget=4 * own + 1)


def test_a_tolerance_that_leaves_too_many_networks_is_refused():
    costs = StageCosts(0, (1, 1, 1, 1), (1, 1, 1, 1))
    with pytest.raises(SettingsError, match=r"more than 2000000 networks .* lower the tolerance"):
        bottom_heavy_depths(costs, (9, 9, 9, 9), 300, tolerance=0.9)


def test_one_stage_has_nothing_to_move():
    with pytest.raises(SettingsError, match=r"strides: 1 stage is built .* two or more"):
        suggest({"name": "resnet", "depth": 18, "width": 8, "strides": [4]}, (64, 64))


def test_what_is_fixed_of_trained_weights_is_not_suggested_without_them():
    fixed = {"norm_eval": True, "norm_affine": False, "weights": "x"}
    found = suggest({"name": "hrnet", "width": 4, **fixed}, (64, 64), tolerance=0.6)
    assert found.backbone.keys() == {"name", "width", "blocks"}
    staged = {"name": "bottom_heavy", "width": 8, "blocks": [3, 3, 3, 3], "frozen_stages": 2}
    found = suggest(staged | fixed, (64, 64), tolerance=0.1)
    assert found.backbone.keys() == {"name", "width", "blocks", "block"}
