"""Ends a run whose numbers are no longer numbers, and leaves a record of what led to it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tinyscope.engine.step import StepBatch
from tinyscope.errors import TrainingError
from tinyscope.formats.atomic import write_text_atomically

GRADIENT = "gradient_norm"


def refuse(
    folder: Path,
    step: int,
    rank: int,
    batches: Sequence[StepBatch],
    losses: Sequence[Mapping[str, float]],
    means: Mapping[str, float],
    gradient_norm: float,
) -> NoReturn:
    """Writes nonfinite.json and raises; called before the step has changed any weight.

    A process whose own numbers are finite writes nothing where another one's losses are not.

    Args:
        folder: Of the run.
        step: Counted from 1.
        rank: Of this process; others than the first write nonfinite-RANK.json.
        batches: Of the step, in this process.
        losses: Of each of them.
        means: Of the losses over all batches and processes.
        gradient_norm: Over all of them.

    Raises:
        TrainingError: Always.
    """
    offending = [
        (batch, row, name)
        for batch, row in zip(batches, losses, strict=True)
        for name, value in row.items()
        if not math.isfinite(value)
    ]
    elsewhere = [name for name, value in means.items() if not math.isfinite(value)]
    if elsewhere and not offending:
        raise TrainingError(
            f"step {step}: {elsewhere[0]} is not finite in another process, which names the files "
            f"of its batch in a nonfinite*.json in {folder}; {_remedy(folder)}"
        )
    # Finite losses can have gradients that are not; then any image of the step may be the cause.
    batch, row, term = offending[0] if offending else (batches[-1], losses[-1], GRADIENT)
    value = row.get(term, gradient_norm)
    record = {
        "step": step,
        "term": term,
        "value": repr(value),  # JSON has no NaN
        "losses": {name: repr(loss) for name, loss in row.items()},
        GRADIENT: repr(gradient_norm),
        "files": [file for b in ([batch] if offending else batches) for file in b.files],
    }
    path = folder / (f"nonfinite-{rank}.json" if rank else "nonfinite.json")
    write_text_atomically(path, json.dumps(record, indent=1))
    raise TrainingError(
        f"step {step}: {term} is {value}; the files of its batch are in {path}; {_remedy(folder)}"
    )


def _remedy(folder: Path) -> str:
    return (
        f"{folder / 'last.ckpt'} is from before it; look at these images, or set "
        "train.learning_rate lower, train.warmup_steps higher or train.precision=32"
    )
