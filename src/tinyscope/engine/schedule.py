"""Learning rates as pure functions of the step, so that a resumed run needs no memory of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tinyscope.errors import SettingsError

Shape = Literal["constant", "multistep", "cosine", "restart", "flat_cosine"]
Warmup = Literal["linear", "constant"]


@dataclass(frozen=True)
class Schedule:
    """Step (from 0) to a factor of the learning rate: a shape times a warm-up.

    Args:
        shape: `constant`; `multistep` multiplies by `gamma` at each milestone; `cosine` falls
            along half a cosine to `floor`; `restart` does so between milestones and starts each
            time again at `gamma` times the start before (SGDR, arXiv:1608.03983); `flat_cosine`
            stays at 1 until its one milestone and falls from there on.
        steps: Length of the run.
        milestones: Below 1, fractions of the run; from 1 on, steps. Increasing.
        gamma: Factor per milestone.
        warmup_steps: Over so many steps the factor grows from `warmup_ratio` times its value.
        floor: Factor that a cosine ends at.
        warmup: `linear` grows step by step; `constant` stays at `warmup_ratio` times its value for
            all of `warmup_steps`, as mmdetection's FCOS.

    Raises:
        SettingsError: Milestones do not increase or lie outside of the run, or the warm-up would
            not end in it.
    """

    shape: Shape
    steps: int
    milestones: Sequence[float] = ()
    gamma: float = 0.1
    warmup_steps: int = 0
    warmup_ratio: float = 0.001
    floor: float = 0.0
    warmup: Warmup = "linear"

    def __post_init__(self) -> None:
        if self.warmup_steps and self.warmup_steps >= self.steps:
            raise SettingsError(
                f"train.warmup_steps: {self.warmup_steps} must be less than the {self.steps} steps "
                f"of the run, which would never reach its learning rate; set it to "
                f"{self.steps // 10} or so"
            )
        edges = [m * self.steps if m < 1 else m for m in self.milestones]
        used = self.shape in ("multistep", "restart", "flat_cosine")
        if used and (edges != sorted(set(edges)) or any(not 0 < e < self.steps for e in edges)):
            raise SettingsError(
                f"train.milestones: {list(self.milestones)} must increase and lie inside the "
                f"{self.steps} steps of the run; give fractions below 1, or steps"
            )

        if self.shape == "flat_cosine" and len(edges) != 1:
            raise SettingsError(
                f"train.milestones: {list(self.milestones)} must be one number for "
                "train.schedule=flat_cosine: where the rate begins to fall"
            )

    def __call__(self, step: int) -> float:
        factor = self._shape(step)
        if step < self.warmup_steps:
            grown = step if self.warmup == "linear" else 0
            factor *= warmup(grown, self.warmup_steps, self.warmup_ratio)
        return factor

    def _shape(self, step: int) -> float:
        edges = milestone_steps(self.milestones, self.steps)
        match self.shape:
            case "constant":
                return 1.0
            case "multistep":
                return multistep(step, edges, self.gamma)
            case "cosine":
                return cosine(step, self.steps, self.floor)
            case "restart":
                return restart(step, self.steps, edges, self.gamma, self.floor)
            case "flat_cosine":
                fall = max(1, self.steps - edges[0])
                return cosine(max(0, step - edges[0]), fall, self.floor)


def milestone_steps(milestones: Sequence[float], steps: int) -> tuple[int, ...]:
    """Milestones in steps; those below 1 are fractions of `steps`."""
    return tuple(round(m * steps) if m < 1 else int(m) for m in milestones)


def warmup(step: int, steps: int, ratio: float) -> float:
    """A line from `ratio` at step 0 to 1 at `steps`."""
    return ratio + (1 - ratio) * step / steps


def multistep(step: int, edges: Sequence[int], gamma: float) -> float:
    """`gamma` to the power of the edges that lie behind; an edge takes effect at its own step."""
    return float(gamma ** sum(step >= edge for edge in edges))


def cosine(step: int, steps: int, floor: float) -> float:
    """Half a cosine from 1 at step 0 to `floor` at `steps`."""
    return floor + (1 - floor) * (1 + math.cos(math.pi * step / steps)) / 2


def restart(step: int, steps: int, edges: Sequence[int], gamma: float, floor: float) -> float:
    """A cosine in each stretch between edges, each beginning at `gamma` times the one before."""
    bounds = (0, *edges, steps)
    stretch = sum(step >= edge for edge in edges)
    start, end = bounds[stretch], bounds[stretch + 1]
    return max(floor, float(gamma**stretch) * cosine(step - start, end - start, floor))
