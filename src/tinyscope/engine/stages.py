"""Which windows each step of a training looks at, where the first steps look at others."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler

from tinyscope.data.batches import Shares, Steps, step_loader
from tinyscope.data.clips.clip_set import ClipSet
from tinyscope.data.training_set import TrainingSet
from tinyscope.engine.loop import BatchSource
from tinyscope.engine.sources import open_samples, open_windows
from tinyscope.engine.step import StepBatch
from tinyscope.errors import SettingsError
from tinyscope.formats.tables import Annotations
from tinyscope.settings import Recipe


@dataclass(frozen=True)
class Looks:
    """Samples and how many of them make a batch, over all processes.

    `setting` is where the number is set, for errors.
    """

    samples: TrainingSet | ClipSet
    batch: int
    setting: str = "data.batch"


@dataclass(frozen=True)
class Opening:
    """What the first steps look at in place of the others, and some of the later ones too.

    Args:
        looks: Of these steps.
        steps: That they are at the beginning.
        kept: Share of the later steps that look at them as well, spread evenly.
    """

    looks: Looks
    steps: int
    kept: float

    def turn(self, step: int) -> tuple[bool, int]:
        """Whether a step looks at the opening, and how many before it look at the same."""
        later = step - self.steps
        if later < 0:
            return True, step
        kept = math.floor(later * self.kept)
        if math.floor((later + 1) * self.kept) > kept:
            return True, self.steps + kept
        return False, later - kept


def open_opening(recipe: Recipe, annotations: Annotations, steps: int) -> Opening | None:
    """The opening of a training, where the recipe sets one.

    Args:
        recipe: Of the training.
        annotations: The data set.
        steps: Of the whole run.

    Raises:
        SettingsError: It has no step or all of them, or as `open_samples`.
        DataError: As `open_samples`.
    """
    settings = recipe.data.opening
    if settings is None:
        return None
    first = round(settings.share * steps)
    if not 0 < first < steps:
        raise SettingsError(
            f"data.opening.share: {settings.share} of {steps} steps are {first}, but there must "
            "be at least one step on data.opening and one on data.windows; set null for no opening"
        )
    windows = open_windows(settings.windows, "data.opening.windows")
    samples = open_samples(recipe, annotations, windows)
    return Opening(Looks(samples, settings.batch, "data.opening.batch"), first, settings.kept)


def batches_of(
    looks: Looks, opening: Opening | None, accumulate: int, workers: int, divisor: int
) -> BatchSource:
    """Where the batches of a run come from.

    Args:
        looks: Of the steps that do not look at the opening.
        opening: Of those that do.
        accumulate: Batches of a step.
        workers, divisor: As of `loader`.
    """

    def batches(start: int, end: int, rank: int, world: int) -> Iterable[StepBatch]:
        both = (looks,) if opening is None else (looks, opening.looks)
        steps = [Steps(own.batch, start, end, rank, world, own.setting) for own in both]
        shares = Turns(tuple(Shares(own.samples, divisor) for own in both))
        order = Order(steps, opening, accumulate)
        return step_loader(shares, order, workers, pin=torch.cuda.is_available())

    return batches


@dataclass(frozen=True)
class Order(Sampler[tuple[int, list[int]]]):
    """Of each batch, whether it is of the opening (1) or not (0), and its positions there.

    The positions of either go on from one of its own batches to its next.
    """

    steps: list[Steps]
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
