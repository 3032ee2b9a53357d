"""Losses of attention maps: hard background is mined, objects of a wrong size weigh more.

Hong et al. 2021, arXiv:2107.01548, as its published code has them.
"""

from jaxtyping import Bool, Float32
from torch import Tensor
from torch.nn import functional

WRONG_SIZE = 3.0
"""Weight of cells that show an object whose size is of another level."""
PER_POSITIVE = 3
"""Background cells mined for every positive one."""
WITHOUT_POSITIVE = 0.05
"""Share of an image's cells mined as background where it has no positive one."""


def mined_weights(
    attention: Float32[Tensor, "b h w"],
    target: Float32[Tensor, "b h w"],
    ignored: Bool[Tensor, "b h w"],
) -> Float32[Tensor, "b h w"]:
    """What each cell weighs: objects, and the background that is taken most for objects.

    Args:
        attention: 0 to 1, without a gradient.
        target: Above 0 where there is an object of the level's size, below where one of another,
            exactly 0 for background.
        ignored: Background that is left out.

    Returns:
        3 where the target is below 0; 1 where it is above, and for so much of an image's
        background, equals of the least included: 3 cells for each positive one, or 5 % of all
        cells where there is none (all background where that is less than one cell). Else 0.
    """
    background = (target == 0) & ~ignored
    there = background.sum(dim=(1, 2))
    positives = (target > 0).sum(dim=(1, 2))
    few = int(WITHOUT_POSITIVE * target[0].numel())
    wanted = (PER_POSITIVE * positives).where(positives > 0, there.new_tensor(few))
    if few == 0:
        wanted = wanted.where(positives > 0, there)
    wanted = wanted.minimum(there)
    ranked = attention.where(background, -1.0).flatten(1).sort(dim=1, descending=True).values
    least = ranked.gather(1, (wanted - 1).clamp(min=0)[:, None])[:, :, None]  # (b, 1, 1)
    mined = background & (attention >= least) & (wanted > 0)[:, None, None]
    weights = (mined | (target > 0)).float()
    return weights.masked_fill(target < 0, WRONG_SIZE)


def attention_loss(
    logits: Float32[Tensor, "b h w"],
    target: Float32[Tensor, "b h w"],
    weights: Float32[Tensor, "b h w"],
) -> Float32[Tensor, ""]:
    """Weighted cross-entropy, summed; fractions of a target stay, values below 0 count as 0."""
    return functional.binary_cross_entropy_with_logits(
        logits, target.clamp(min=0), weights, reduction="sum"
    )


def dice_loss(
    attention: Float32[Tensor, "b h w"], target: Float32[Tensor, "b h w"]
) -> Float32[Tensor, "b"]:
    """How far attention is from 1 on the positive cells of each image, 0 to 1.

    As published it looks at these cells alone; an image without any has 0.
    """
    positive = (target > 0).to(attention.dtype)
    seen = (attention * positive).flatten(1)
    both, squares = seen.sum(dim=1) + 1, seen.square().sum(dim=1) + 1
    return 1 - 2 * both / (squares + positive.flatten(1).sum(dim=1) + 1)
