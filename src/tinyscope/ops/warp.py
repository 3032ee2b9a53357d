"""Maps of one frame brought to where things stand in another, along optical flow.

Zhu et al. 2017, "Flow-Guided Feature Aggregation for Video Object Detection", arXiv:1703.10025.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def warp(
    features: Float[Tensor, "n c h w"],
    flow: Float[Tensor, "n 2 height width"],
    *,
    exact: bool = False,
) -> Float[Tensor, "n c h w"]:
    """Features gathered where the flow points: those of cell p come from p + flow(p).

    Args:
        features: Of the frames that are looked into.
        flow: For each pixel of the key frame, where the same thing stands in the other frame, as
            (x, y) in pixels of the flow's own size, which may be larger or smaller than that of the
            features.
        exact: Cells are gathered at x + u; beyond the map there are zeros. False is how published
            checkpoints were trained (MMTracking): at (x + u) (w - 1) / w, so that the map shrinks a
            little towards its upper left corner and zero flow moves it; rows are resized by the
            ratio of the widths; beyond the map its border goes on.

    Returns:
        Of the type of `features`; gathered in float32.
    """
    size = (features.shape[-2], features.shape[-1])
    shift = _resized(flow.float(), size, exact=exact)
    y, x = (torch.arange(side, device=flow.device, dtype=torch.float32) for side in size)
    positions = (x + shift[:, 0], y[:, None] + shift[:, 1])  # each (n, h, w)
    # grid_sample counts from -1 to 1: between outer edges, or between outer centers.
    counted = [
        (2 * at + exact) / side - 1 for at, side in zip(positions, reversed(size), strict=True)
    ]
    gathered = functional.grid_sample(
        features.float(),
        torch.stack(counted, dim=-1),  # (n, h, w, 2)
        padding_mode="zeros" if exact else "border",
        align_corners=not exact,
    )
    return gathered.to(features.dtype)


def _resized(flow: Tensor, size: tuple[int, int], *, exact: bool) -> Tensor:
    """Flow of the size of a map, in its cells."""
    height, width = flow.shape[-2:]
    if (height, width) == size:
        return flow
    if exact:
        resized = functional.interpolate(flow, size, mode="bilinear", align_corners=False)
        x, y = resized.unbind(dim=1)
        # By numbers and not by a tensor of both: a GPU would be waited for to take it.
        return torch.stack([x * (size[1] / width), y * (size[0] / height)], dim=1)
    factor = size[1] / width
    # Flow of a height that the factor does not divide may end a row early: its border goes on.
    missing = [
        math.ceil(max(0, wanted - math.floor(side * factor)) / factor)
        for side, wanted in ((width, size[1]), (height, size[0]))
    ]
    if any(missing):
        flow = functional.pad(flow, (0, missing[0], 0, missing[1]), mode="replicate")
    # By its factor and not to a size: the two put cells elsewhere where a side is not divisible.
    resized = functional.interpolate(
        flow, scale_factor=factor, mode="bilinear", align_corners=False
    )
    return factor * resized[..., : size[0], : size[1]]
