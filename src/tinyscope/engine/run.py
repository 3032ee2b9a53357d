"""What every training shares around its loop: the folder, the machine, and what a run came to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric
from torch import nn

from tinyscope.engine.checkpoint import Checkpoint
from tinyscope.engine.devices import in_first_process, open_fabric
from tinyscope.engine.folder import check_same_run, last_checkpoint, prepare_run
from tinyscope.engine.loop import Loop, Plan
from tinyscope.engine.machine import Precision, repeatable
from tinyscope.engine.signals import stop_signals
from tinyscope.formats.atomic import write_text_atomically


@dataclass(frozen=True)
class Run:
    """What a training came to.

    Args:
        folder: Everything that the run wrote.
        best: Checkpoint with the weights to predict with.
        scores: Numbers of the last evaluation; none where there was nothing to evaluate on.
        steps: Optimizer steps done; fewer than planned where it stopped early.
    """

    folder: Path
    best: Path
    scores: Mapping[str, float]
    steps: int


@dataclass(frozen=True)
class Place:
    """Where a run computes and writes, and what it goes on from, if anything."""

    fabric: Fabric
    precision: Precision
    folder: Path
    checkpoint: Checkpoint | None


def open_place(folder: Path, precision: str, resume: bool, devices: int) -> Place:
    """Starts the processes and makes the folder ready.

    Raises:
        SettingsError: This machine does not compute in that precision.
        CheckpointError: The checkpoint to go on from is damaged.
        TrainingError: The folder cannot be used.
    """
    fabric, chosen = open_fabric(precision, devices)
    in_first_process(fabric, lambda: prepare_run(folder, resume))
    return Place(fabric, chosen, folder, last_checkpoint(folder))


def carry_out(place: Place, model: nn.Module, plan: Plan, recipe: str, about: Iterable[str]) -> Run:
    """Trains to the end, from the beginning or from where the run in the folder stopped.

    Args:
        place: Where.
        model: With fresh weights.
        plan: What to do.
        recipe: The resolved recipe as text.
        about: What is said at the start; only taken in the first process.

    Raises:
        SettingsError: The run to resume has other settings, classes or data.
        TrainingError: A loss is not finite.
        CheckpointError: A checkpoint cannot be written.
    """
    folder, first = place.folder, place.fabric.is_global_zero
    if place.checkpoint:
        check_same_run(place.checkpoint, plan.identity)
    with repeatable(place.fabric.device), stop_signals() as stop:
        loop = Loop(place.fabric, place.precision, model, plan, folder, place.checkpoint)
        if first:  # not before: a plan that is refused leaves the folder free for the next try
            write_text_atomically(folder / "recipe.yaml", recipe)
        for line in about if first else ():
            loop.display.say(line)
        loop.run(stop)
    return Run(folder, folder / "best.ckpt", loop.state.progress.scores, loop.state.done)
