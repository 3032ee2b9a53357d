"""From raw outputs of all priors to the few that suppression has to look at."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

Rank = Literal["pairs", "priors"]
"""What the limit of a level counts: the best pairs of those above the threshold; or, as published
code does, the best priors by their best class, of which some may then be below the threshold."""


def level_spans(level_of: Int64[Tensor, "p"]) -> list[slice]:
    """The rows of each level; priors come level by level."""
    counts = torch.bincount(level_of).tolist()
    ends = [sum(counts[: i + 1]) for i in range(len(counts))]
    return [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]


def best_pairs(
    logits: Float[Tensor, "p k"],
    quality: Float[Tensor, "p"] | None,
    spans: Sequence[slice],
    *,
    threshold: float,
    limit: int,
    rank: Rank = "pairs",
) -> tuple[Int64[Tensor, "c"], Int64[Tensor, "c"], Float[Tensor, "c"]]:
    """The best (prior, class) pairs of one image.

    Class scores at or below `threshold` are out; then the score is multiplied by that of the
    quality, if there is one, and every level keeps its best `limit`.

    Returns:
        Prior, label and score of each pair.
    """
    floor = float(torch.tensor(threshold, dtype=torch.float64).logit())  # infinite at 0 and 1
    found = []
    for span in spans:
        prior, label = (logits[span] > floor).nonzero(as_tuple=True)
        prior = prior + span.start
        if rank == "priors" and span.stop - span.start > limit:
            allowed = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
            allowed[_best_priors(logits, quality, span, limit)] = True
            prior, label = prior[allowed[prior]], label[allowed[prior]]
        score = logits[prior, label].sigmoid()
        if quality is not None:
            score = score * quality[prior].sigmoid()
        if rank == "pairs" and len(score) > limit:
            score, best = score.topk(limit)
            prior, label = prior[best], label[best]
        found.append((prior, label, score))
    return (
        torch.cat([p for p, _, _ in found]),
        torch.cat([k for _, k, _ in found]),
        torch.cat([s for _, _, s in found]),
    )


def _best_priors(logits: Tensor, quality: Tensor | None, span: slice, limit: int) -> Tensor:
    """Of a level's priors those with the best class score times quality."""
    score = logits[span].amax(dim=1).sigmoid()
    if quality is not None:
        score = score * quality[span].sigmoid()
    best: Tensor = score.topk(limit).indices + span.start
    return best
