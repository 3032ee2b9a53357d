"""From raw outputs of all priors to the few that suppression has to look at."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor


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
        score = logits[prior, label].sigmoid()
        if quality is not None:
            score = score * quality[prior].sigmoid()
        if len(score) > limit:
            score, best = score.topk(limit)
            prior, label = prior[best], label[best]
        found.append((prior, label, score))
    return (
        torch.cat([p for p, _, _ in found]),
        torch.cat([k for _, k, _ in found]),
        torch.cat([s for _, _, s in found]),
    )
