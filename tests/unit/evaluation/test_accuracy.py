"""Which rank the right class has, also where logits tie or are no numbers."""

import math

import pytest
import torch

from tinyscope.evaluation.accuracy import ranks, top_shares


def test_a_rank_counts_the_classes_before():
    logits = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    assert ranks(logits, torch.tensor([0, 1, 2])).tolist() == [0, 2, 1]


def test_of_equal_logits_the_first_class_wins():
    logits = torch.zeros(3, 3)
    assert ranks(logits, torch.tensor([0, 1, 2])).tolist() == [0, 1, 2]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_wrong(broken):
    logits = torch.tensor([[0.0, broken, 9.0]])
    assert ranks(logits, torch.tensor([2])).tolist() == [2]
    assert ranks(logits, torch.tensor([0])).tolist() == [2]


def test_ranks_agree_with_sorting():
    logits = torch.rand(50, 20)
    labels = torch.randint(0, 20, (50,))
    order = logits.argsort(dim=1, descending=True)
    assert ranks(logits, labels).equal((order == labels[:, None]).nonzero()[:, 1])


def test_shares_of_the_first():
    assert top_shares(torch.tensor([0, 4, 5, 0])) == {"top1": 0.5, "top5": 0.75}
    assert top_shares(torch.tensor([0, 4, 5, 0]), (2,)) == {"top2": 0.5}
