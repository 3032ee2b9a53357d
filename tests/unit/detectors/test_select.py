"""Which priors and classes suppression gets to see."""

import pytest
import torch

from tinyscope.detectors.select import best_pairs, level_spans

SCORES = torch.tensor([[0.9, 0.8], [0.7, 0.01], [0.04, 0.03], [0.6, 0.5]])
QUALITY = torch.tensor([0.1, 0.9, 0.9999, 0.5])
SPANS = [slice(0, 4)]


def pairs(limit, rank, quality=None, spans=SPANS):
    logits = SCORES.logit()
    found = best_pairs(
        logits,
        None if quality is None else quality.logit(),
        spans,
        threshold=0.05,
        limit=limit,
        rank=rank,
    )
    return {
        (int(prior), int(label)): round(float(score), 4)
        for prior, label, score in zip(*found, strict=True)
    }


def test_pairs_are_the_best_above_the_threshold():
    assert pairs(2, "pairs") == {(0, 0): 0.9, (0, 1): 0.8}
    assert pairs(3, "pairs", QUALITY) == {(1, 0): 0.63, (3, 0): 0.3, (3, 1): 0.25}


def test_priors_keep_all_their_classes_above_the_threshold():
    assert pairs(2, "priors") == {(0, 0): 0.9, (0, 1): 0.8, (1, 0): 0.7}


def test_priors_are_ranked_before_the_threshold():
    # With their quality: 0.09, 0.63, 0.04, 0.3. The third would be the fourth, had it a score.
    quality = torch.tensor([0.01, 0.9, 0.9999, 0.5])
    assert pairs(3, "priors", quality).keys() == {(1, 0), (3, 0), (3, 1)}
    assert (0, 0) in pairs(5, "pairs", quality)


@pytest.mark.parametrize("rank", ["pairs", "priors"])
def test_every_level_has_its_own_limit(rank):
    spans = level_spans(torch.tensor([0, 0, 1, 1]))
    found = pairs(1, rank, spans=spans)
    assert {prior for prior, _ in found} == {0, 3}


def test_few_priors_are_all_kept_by_either():
    assert pairs(100, "priors", QUALITY) == pairs(100, "pairs", QUALITY)
