"""Which samples the steps of a training look at: those of one stage after the other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch

from tinyscope.data.batches import loader
from tinyscope.data.clips.clip_set import ClipSet
from tinyscope.data.training_set import TrainingSet
from tinyscope.engine.loop import BatchSource
from tinyscope.engine.sources import open_samples, open_windows
from tinyscope.engine.step import StepBatch
from tinyscope.errors import SettingsError
from tinyscope.formats.tables import Annotations
from tinyscope.settings import Recipe


@dataclass(frozen=True)
class Stage:
    """A span of the steps of a run, from where the stage before ends.

    Args:
        samples: What its batches are of. A batch of step s holds the positions that it would hold
            if the whole run were this stage.
        batch: Samples of a batch, over all processes.
        end: Number of the first step that does not belong to it, counted over the run.
    """

    samples: TrainingSet | ClipSet
    batch: int
    end: int


def open_opening(recipe: Recipe, annotations: Annotations, steps: int) -> tuple[Stage, ...]:
    """The stage of the first steps, where the recipe sets other windows for them.

    Args:
        recipe: Of the training.
        annotations: The data set.
        steps: Of the whole run.

    Raises:
        SettingsError: It has no step or all of them, or as `open_samples`.
        DataError: As `open_samples`.
    """
    opening = recipe.data.opening
    if opening is None:
        return ()
    end = round(opening.share * steps)
    if not 0 < end < steps:
        raise SettingsError(
            f"data.opening.share: {opening.share} of {steps} steps are {end}, but there must be at "
            "least one step on data.opening and one on data.windows; set null for no opening"
        )
    windows = open_windows(opening.windows, "data.opening.windows")
    return (Stage(open_samples(recipe, annotations, windows), opening.batch, end),)


def batches_of(stages: Sequence[Stage], accumulate: int, workers: int, divisor: int) -> BatchSource:
    """Where the batches of a run come from; options as of `loader`."""

    def batches(start: int, end: int, rank: int, world: int) -> Iterable[StepBatch]:
        starts = (0, *(stage.end * accumulate for stage in stages))
        loaders = [
            loader(
                stage.samples,
                stage.batch,
                workers,
                max(start, first),
                min(end, stage.end * accumulate),
                rank,
                world,
                divisor=divisor,
                pin=torch.cuda.is_available(),
            )
            for stage, first in zip(stages, starts, strict=False)
        ]  # all of them before the first batch, as one may refuse to be shared among processes
        return chain.from_iterable(found for found in loaders if len(found))

    return batches
