"""Balanced group softmax: who learns from what, by which chances, and what scores mean."""

import pytest
import torch

from tinyscope.nn.heads.group_softmax import GroupSoftmax
from tinyscope.nn.heads.groups import ClassGroups
from tinyscope.nn.heads.others import taking_part
from tinyscope.nn.heads.two_fc import TwoFcHead

GROUPS = ClassGroups(((0, 3), (1, 2)), 4)
RARE, COMMON = slice(2, 5), slice(5, 8)
"""Columns of the groups."""


def layer(ratio: float = 8.0) -> GroupSoftmax:
    return GroupSoftmax(GROUPS, ratio)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 2.5, 8.0])
@pytest.mark.parametrize("members", [0, 1, 3, 7])
def test_as_many_others_as_the_ratio_says_are_drawn(ratio, members):
    bins = (torch.arange(40) < members).long()[None]
    for _ in range(5):
        drawn = taking_part(bins, ratio)[0]
        assert drawn[:members].all()
        assert int(drawn[members:].sum()) == min(int(ratio * members), 40 - members)


def test_others_have_all_the_same_chance_and_are_drawn_anew_for_every_group():
    bins = torch.zeros(2, 24, dtype=torch.int64)
    bins[:, 3], bins[:, 17] = 1, 2
    draws = torch.stack([taking_part(bins, 3.0) for _ in range(4000)]).float()
    others = bins[0] == 0
    assert (draws.sum(dim=2) == 8).all()
    share = draws[:, :, others].mean(dim=0)  # of 22 others 6 are drawn
    # Five standard deviations of a share among 4000 draws.
    torch.testing.assert_close(share, torch.full_like(share, 6 / 22), atol=0.036, rtol=0)
    # Pairs, too: drawn together as often as without putting back.
    pairs = torch.einsum("dgi,dgj->gij", draws[:, :, others], draws[:, :, others]) / 4000
    off = ~torch.eye(22, dtype=torch.bool)
    wanted = torch.full_like(pairs[:, off], 6 / 22 * 5 / 21)
    torch.testing.assert_close(pairs[:, off], wanted, atol=0.025, rtol=0)
    assert (draws[1:] != draws[:-1]).any(dim=2).float().mean() > 0.99
    assert (draws[:, 0] != draws[:, 1]).any(dim=1).float().mean() > 0.99


def test_seeds_decide_the_draw():
    bins = (torch.arange(100) < 3).long()[None]
    drawn = [taking_part(bins, 8.0) for _ in range(2) if torch.manual_seed(7)]
    assert torch.equal(*drawn)


def test_a_group_without_an_example_learns_nothing():
    logits = torch.randn(30, 8, requires_grad=True)
    labels = torch.tensor([1, 2, 1] + [4] * 27)
    layer().loss(logits, labels).backward()
    assert (logits.grad[:, RARE] == 0).all()
    assert (logits.grad[:3, COMMON] != 0).all()
    assert int((logits.grad[3:, COMMON] != 0).any(dim=1).sum()) == 24
    assert (logits.grad[:, :2] != 0).all()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_images_without_objects_teach_background_alone(count):
    logits = torch.randn(count, 8, requires_grad=True)
    loss = layer().loss(logits, torch.full((count,), 4))
    loss.backward()
    assert loss.isfinite()
    assert (logits.grad[:, 2:] == 0).all()
    assert bool((logits.grad[:, :2] != 0).all())


def test_frequent_classes_do_not_push_rare_ones_of_other_groups():
    logits = torch.zeros(64, 8, requires_grad=True)
    layer().loss(logits, torch.full((64,), 1)).backward()
    assert (logits.grad[:, RARE] == 0).all()


def test_a_score_is_foreground_times_the_share_in_its_group():
    logits = torch.randn(6, 8)
    scores = layer().scores(logits)
    ground = logits[:, :2].softmax(dim=1)
    rare, common = logits[:, RARE].softmax(dim=1), logits[:, COMMON].softmax(dim=1)
    expected = torch.stack([rare[:, 1], common[:, 1], common[:, 2], rare[:, 2]], dim=1)
    torch.testing.assert_close(scores[:, :4], expected * ground[:, 1:])
    torch.testing.assert_close(scores[:, 4], ground[:, 0])


def test_the_best_class_is_known_where_all_scores_vanish():
    logits = torch.zeros(1, 8)
    logits[0, 0], logits[0, 2], logits[0, 5] = 300.0, 300.0, 200.0
    logits[0, 6] = 150.0
    assert layer().scores(logits)[0, :4].sum() == 0
    assert layer().best(logits).item() == 1


def test_groups_change_neither_the_boxes_nor_what_is_saved():
    plain = TwoFcHead(2, 4, 2, width=4)
    grouped = TwoFcHead(2, 4, 2, width=4, groups=((0, 3), (1, 2)))
    assert plain.state_dict().keys() == grouped.state_dict().keys()
    logits, deltas = grouped(torch.randn(5, 2, 2, 2))
    assert logits.shape == (5, 8)
    labels = torch.tensor([3, 1, 4, 4, 4])
    targets = torch.randn(2, 4)
    losses = grouped.loss(logits, deltas, labels, targets)
    same = plain.loss(logits[:, :5], deltas, labels, targets)
    assert torch.equal(losses["box"], same["box"])
    assert grouped.scores(logits).shape == (5, 5)


def test_half_precision_maps_are_scored_in_full():
    head = TwoFcHead(2, 4, 2, width=4, groups=((0, 3), (1, 2))).to(torch.bfloat16)
    logits, _ = head(torch.randn(3, 2, 2, 2, dtype=torch.bfloat16))
    assert head.scores(logits).dtype == torch.float32
