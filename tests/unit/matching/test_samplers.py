"""Which of the assigned priors take part in the loss."""

import pytest
import torch

from tinyscope.errors import SettingsError
from tinyscope.matching.sample import SAMPLERS, weighted_negative
from tinyscope.matching.sample.weighted_negative import (
    WeightedNegativeSampler,
    most_covered,
    weighted_draw,
)
from tinyscope.types import BACKGROUND, IGNORED, Priors, Target


def target_of(*rows):
    boxes = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    return Target(
        boxes,
        torch.arange(len(boxes)) + 7,
        torch.zeros(len(boxes), dtype=torch.bool),
    )


def priors_of(*rows):
    return Priors.of_boxes(torch.tensor(rows, dtype=torch.float32).reshape(-1, 4))


def shares(sampler, assigned, target, priors, scores=None, draws=3000):
    """How often each prior is drawn as background."""
    torch.manual_seed(0)
    counts = torch.zeros(len(priors))
    for _ in range(draws):
        counts[sampler(assigned, target, priors, scores).negative] += 1
    return counts / draws


ALL_BACKGROUND = torch.full((4,), BACKGROUND)
AROUND_AN_OBJECT = priors_of((0, 0, 50, 50), (8, 10, 12, 14), (30, 30, 40, 40), (60, 60, 64, 64))


def test_weights_are_of_the_share_of_the_object_and_of_the_score():
    sampler = WeightedNegativeSampler(cover_weight=2.0, score_weight=0.5)
    objects = torch.tensor([[10.0, 10, 14, 14], [60, 60, 64, 68]])
    scores = torch.tensor([0.0, 1, 0, 1])
    found = sampler.preference(AROUND_AN_OBJECT.boxes, objects, scores)
    torch.testing.assert_close(found, torch.tensor([2.0, 1.5, 0.0, 1.5]))
    without = sampler.preference(AROUND_AN_OBJECT.boxes, objects)
    torch.testing.assert_close(without, torch.tensor([2.0, 1.0, 0.0, 1.0]))


def test_a_single_prior_is_drawn_by_its_share_in_the_weights():
    sampler = WeightedNegativeSampler(count=1, positive_fraction=0.0, cover_weight=2.0)
    target = target_of((10, 10, 14, 14))
    found = shares(sampler, ALL_BACKGROUND, target, AROUND_AN_OBJECT)
    weights = torch.tensor([2.0, 1, 0, 0]).exp()
    torch.testing.assert_close(found, weights / weights.sum(), rtol=0, atol=0.04)


@pytest.mark.parametrize("scores", [None, torch.tensor([1.0, 0, 0, 0])])
def test_without_objects_all_have_the_same_chance(scores):
    sampler = WeightedNegativeSampler(count=2, cover_weight=50.0, score_weight=50.0)
    found = shares(sampler, ALL_BACKGROUND, target_of(), AROUND_AN_OBJECT, scores)
    torch.testing.assert_close(found, torch.full((4,), 0.5), rtol=0, atol=0.04)


def test_huge_weights_are_no_overflow():
    sampler = WeightedNegativeSampler(count=1, positive_fraction=0.0, cover_weight=1000.0)
    found = shares(sampler, ALL_BACKGROUND, target_of((10, 10, 14, 14)), AROUND_AN_OBJECT, draws=50)
    assert found.tolist() == [1, 0, 0, 0]


def test_few_candidates_are_all_taken_and_nothing_is_drawn():
    assigned = torch.tensor([BACKGROUND, 0, IGNORED, BACKGROUND])
    sampler = WeightedNegativeSampler(count=8)
    before = torch.get_rng_state()
    matches = sampler(assigned, target_of((8, 10, 12, 14)), AROUND_AN_OBJECT)
    assert torch.equal(torch.get_rng_state(), before)
    assert (matches.positive.tolist(), matches.negative.tolist()) == ([1], [0, 3])
    assert matches.labels.tolist() == [7]
    assert matches.boxes.tolist() == [[8, 10, 12, 14]]


def test_background_fills_up_what_positives_leave():
    torch.manual_seed(0)
    boxes = torch.rand(400, 2).mul(50).repeat(1, 2) + torch.tensor([0.0, 0, 5, 5])
    assigned = torch.full((400,), BACKGROUND)
    assigned[::4] = 0
    assigned[1::4] = IGNORED
    sampler = WeightedNegativeSampler(count=64, positive_fraction=0.25)
    matches = sampler(assigned, target_of((0, 0, 9, 9)), Priors.of_boxes(boxes))
    assert (len(matches.positive), len(matches.negative)) == (16, 48)
    assert (assigned[matches.negative] == BACKGROUND).all()
    assert (matches.negative.diff() > 0).all()
    assert (matches.positive.diff() > 0).all()


def test_shares_do_not_depend_on_how_many_pairs_are_held(monkeypatch):
    torch.manual_seed(0)
    corners = torch.rand(60, 2) * 40
    boxes = torch.cat([corners, corners + 1 + torch.rand(60, 2) * 12], dim=1)
    whole = most_covered(boxes[:20], boxes)
    monkeypatch.setattr(weighted_negative, "PAIRS", 7 * len(boxes))
    assert torch.equal(most_covered(boxes[:20], boxes), whole)
    assert most_covered(boxes[:0], boxes).tolist() == [0] * 60
    assert most_covered(boxes, boxes[:0]).tolist() == []
    assert (whole[:20] == 1).all()


def test_more_candidates_than_multinomial_takes():
    torch.manual_seed(0)
    count = (1 << 24) + 3
    rows = weighted_draw(torch.zeros(1).expand(count), 64)
    assert len(rows.unique()) == 64
    assert rows.max() < count


def test_names_and_options_of_the_sampler():
    assert SAMPLERS.build({"name": "weighted_negative", "count": 12}) == WeightedNegativeSampler(12)
    with pytest.raises(SettingsError, match=r"cover_weight"):
        SAMPLERS.build({"name": "weighted_negative", "cover_weight": -1})
