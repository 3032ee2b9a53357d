"""How often the right class is among the first k."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def ranks(logits: Float[Tensor, "b k"], labels: Int64[Tensor, "b"]) -> Int64[Tensor, "b"]:
    """How many classes stand before the right one, by logit and, among equals, by number.

    Rows with logits that are not finite have the last rank.
    """
    own = logits.gather(1, labels[:, None])
    earlier = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
    before = ((logits > own) | ((logits == own) & earlier)).sum(dim=1)
    finite = logits.isfinite().all(dim=1)
    return torch.where(finite, before, logits.shape[1] - 1)


def top_shares(ranks: Int64[Tensor, "n"], first: Sequence[int] = (1, 5)) -> dict[str, float]:
    """`top1` and so on: the share of images whose class is among the first 1, ..."""
    return {f"top{k}": float((ranks < k).double().mean()) for k in first}
