"""The folder of a run: whether it may be started or gone on with, and what is in it.

recipe.yaml, metrics.csv (losses by step), scores.csv (evaluations), timing.csv, dropped.json,
evaluation.json (the last one), best.ckpt, last.ckpt, tensorboard/ where that is installed.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinyscope.engine.checkpoint import Checkpoint, load_checkpoint
from tinyscope.engine.state import Identity
from tinyscope.errors import SettingsError, TrainingError
from tinyscope.formats.atomic import write_text_atomically

FREE_TO_CHANGE = ("data.workers", "data.train", "data.val", "source", "expected")
"""Settings, with all below them, that a resumed run may have otherwise; the data are compared by
their content."""


def prepare_run(folder: Path, resume: bool) -> None:
    """Makes the folder and sees to it that a run can be written to it.

    Raises:
        TrainingError: The folder holds something and `resume` is not asked for, or nothing can
            be written to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        write_text_atomically(probe, "can be written to")
        probe.unlink()
    except OSError as error:
        raise TrainingError(
            f"{folder}: cannot be written to ({error.strerror or error}); choose another --out"
        ) from error
    if not resume and any(folder.iterdir()):
        raise TrainingError(
            f"{folder}: is not empty; add --resume to go on with the run in it, "
            "or choose another --out"
        )


def last_checkpoint(folder: Path) -> Checkpoint | None:
    """What the run in `folder` goes on from; None where it starts from the beginning.

    Raises:
        CheckpointError: The last checkpoint is damaged.
    """
    last = folder / "last.ckpt"
    return load_checkpoint(last) if last.exists() else None


def check_same_run(checkpoint: Checkpoint, now: Identity) -> None:
    """That a run with these settings, classes and data can go on from `checkpoint`.

    Raises:
        SettingsError: A setting differs, the classes, or the content of the training set.
    """
    then, here = dict(_leaves(checkpoint.recipe)), dict(_leaves(now.recipe))
    differing = [
        key for key in {**then, **here} if then.get(key) != here.get(key) and not _is_free(key)
    ]
    if differing:
        shown = "; ".join(f"{k}: {then.get(k)} then, {here.get(k)} now" for k in differing[:4])
        raise SettingsError(
            f"the run to resume has another recipe: {shown}; use its own recipe.yaml, "
            "or start a new run with another --out"
        )
    if checkpoint.names != now.names:
        raise SettingsError(
            f"the run to resume has the classes {list(checkpoint.names)}, the data have "
            f"{list(now.names)}; give the data that it was started with"
        )
    if checkpoint.progress["data"] != now.data:
        raise SettingsError(
            "the training set is not the one that the run was started with: its annotations or "
            "labels differ; give that one, or start a new run with another --out"
        )


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in FREE_TO_CHANGE)


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Every value that is no mapping, by its dotted key, as JSON."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", json.dumps(value)
