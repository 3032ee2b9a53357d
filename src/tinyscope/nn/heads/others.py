"""Which of the examples that are none of a group's members it learns from."""

import torch
from jaxtyping import Bool, Int64
from torch import Tensor


def taking_part(bins: Int64[Tensor, "g n"], others_ratio: float) -> Bool[Tensor, "g n"]:
    """The examples that each group learns from, drawn anew at every call.

    All of its F members take part, and floor(others_ratio * F) of the others, all with the same
    chance, or as many as there are. A group without a member among the examples learns nothing.

    Args:
        bins: Number of each example among the members of each group; 0 for its others.
        others_ratio: Others to a member.

    Draws from torch's generator, which the training loop seeds at every step.

    Source: Li et al. 2020, arXiv:2006.10408, section 4.2.
    """
    members = bins > 0
    allowed = (members.sum(dim=1).double() * others_ratio).floor()
    # A shuffle of the examples for each group, of which the first others are taken: nothing has to
    # be known of the counts before all of it is queued on the device. Random numbers of float64,
    # as of float32 many would be equal among the priors of a batch.
    order = torch.rand(bins.shape, dtype=torch.float64, device=bins.device).argsort(dim=1)
    others = ~members.gather(1, order)
    first = others & (others.cumsum(dim=1) <= allowed[:, None])
    return members.scatter(1, order, first) | members
