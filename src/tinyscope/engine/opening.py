"""Other windows for the first steps of a training, and in between for some of those after."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler

from tinyscope.data import WINDOWS
from tinyscope.data.batches import Shares, Steps, step_loader
from tinyscope.data.clips.clip_set import ClipSet
from tinyscope.data.training_set import TrainingSet
from tinyscope.data.windows.window import WindowSource
from tinyscope.engine.loop import BatchSource
from tinyscope.engine.step import StepBatch
from tinyscope.errors import SettingsError
from tinyscope.settings import OpeningSettings


@dataclass(frozen=True)
class Shown:
    """What steps look at.

    Args:
        samples: What batches are made of.
        batch: Samples of a batch, over all processes.
        setting: Where `batch` is set, for errors.
    """

    samples: TrainingSet | ClipSet
    batch: int
    setting: str = "data.batch"


@dataclass(frozen=True)
class Opening:
    """Steps that look at other windows.

    Args:
        shown: What they look at.
        steps: That they are at the beginning.
        kept: Share of the later steps that look at them as well, spread evenly.
    """

    shown: Shown
    steps: int
    kept: float

    def after(self, steps: int) -> int:
        """Of the `steps` after those at the beginning, how many look at the opening too."""
        return math.floor(steps * self.kept)

    def turn(self, step: int) -> tuple[bool, int]:
        """Whether a step looks at the opening, and how many before it look at the same."""
        later = step - self.steps
        if later < 0:
            return True, step
        kept = self.after(later)
        if self.after(later + 1) > kept:
            return True, self.steps + kept
        return False, later - kept


def open_opening(
    settings: OpeningSettings | None, samples: TrainingSet | ClipSet, steps: int
) -> Opening | None:
    """The opening of a training, where one is set.

    Args:
        settings: Of the opening.
        samples: What the other steps look at.
        steps: Of the whole run.

    Raises:
        SettingsError: It has no step or all of them, or its windows refuse an option.
        DataError: No window would be shown.
    """
    if settings is None:
        return None
    first = round(settings.share * steps)
    if not 0 < first < steps:
        raise SettingsError(
            f"data.opening.share: {settings.share} of {steps} steps are {first}, but there must "
            "be at least one step on data.opening and one on data.windows; set null for no opening"
        )
    windows: WindowSource = WINDOWS.build(settings.windows, "data.opening.windows")
    shown = Shown(samples.through(windows), settings.batch, "data.opening.batch")
    return Opening(shown, first, settings.kept)


def batches_of(
    shown: Shown, opening: Opening | None, accumulate: int, workers: int, divisor: int
) -> BatchSource:
    """Where the batches of a run come from.

    Args:
        shown: In the steps that do not look at the opening.
        opening: In those that do.
        accumulate: Batches of a step.
        workers, divisor: As of `loader`.
    """

    def batches(start: int, end: int, rank: int, world: int) -> Iterable[StepBatch]:
        both = (shown,) if opening is None else (shown, opening.shown)  # as `Order` numbers them
        steps = tuple(Steps(own.batch, start, end, rank, world, own.setting) for own in both)
        turns = Turns(tuple(Shares(own.samples, divisor) for own in both))
        order = Order(steps, opening, accumulate)
        return step_loader(turns, order, workers, pin=torch.cuda.is_available())

    return batches


@dataclass(frozen=True)
class Order(Sampler[tuple[int, list[int]]]):
    """Of each batch, whether it is of the opening (1) or not (0), and its positions there.

    The positions of either go on from one of its own batches to its next.

    Args:
        steps: Of the one and, where there is an opening, of the other.
        opening: Whose turn it is.
        accumulate: Batches of a step.
    """

    steps: tuple[Steps, ...]
    opening: Opening | None
    accumulate: int

    def __len__(self) -> int:
        return len(self.steps[0])

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        for batch in range(self.steps[0].start_step, self.steps[0].steps):
            step, part = divmod(batch, self.accumulate)
            opens, before = (False, step) if self.opening is None else self.opening.turn(step)
            yield int(opens), self.steps[opens].positions(before * self.accumulate + part)


@dataclass(frozen=True)
class Turns(Dataset[Any]):
    """Batches of the one or of the other samples."""

    shares: tuple[Shares, ...]

    def __getitem__(self, item: tuple[int, list[int]]) -> Any:
        which, positions = item
        return self.shares[which][positions]
