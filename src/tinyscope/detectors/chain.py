"""Flow to frames far away, from flow between neighbors: where a thing has gone step by step."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tinyscope.detectors.seen import Seen
from tinyscope.ops.warp import warp

Step = Callable[[Seen, Seen], Tensor]
"""Flow from one frame to another."""


def chained(
    key: Seen, window: Sequence[Seen], slot: int, step: Step
) -> dict[Seen, Float[Tensor, "b 2 h w"]]:
    """Flow from the key frame to every frame of a window, in the order of time.

    Neighbors ask for a step once, however many windows they stand in together. A thing that has
    left the image on its way stays where it left. Frames that repeat the key frame have no flow.

    Args:
        key: Takes the place `slot` of the window.
        window: Frames before the key frame, and after it.
        slot: Where the one goes over into the other.
        step: From a frame to a neighbor.
    """
    found: dict[Seen, Tensor | None] = {}
    for side in (window[:slot][::-1], window[slot + 1 :]):
        last, total = key, None
        for seen in side:
            if seen is not last:
                if seen not in last.steps:
                    last.steps[seen] = step(last, seen)
                total = _after(total, last.steps[seen])
                last = seen
            found[seen] = total
    known = next((flow for flow in found.values() if flow is not None), None)
    if known is None:  # nothing but the key frame; flow of any size says that nothing moves
        level = key.pyramid.levels[0]
        known = level.new_zeros(len(level), 2, *level.shape[-2:])
    return {seen: torch.zeros_like(known) if f is None else f for seen, f in found.items()}


def _after(total: Tensor | None, step: Tensor) -> Tensor:
    """Flow over all steps so far and one more, which is looked up where the others have led."""
    return step if total is None else total + warp(step, total, exact=True)
