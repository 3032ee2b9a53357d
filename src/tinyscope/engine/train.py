"""Trains a detector on a data set: opens what the recipe names and lets the loop run."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tinyscope.analysis.data_report import class_counts
from tinyscope.catalog import plain
from tinyscope.data.clips.clip_set import ClipSet
from tinyscope.data.names import shared_images
from tinyscope.data.training_set import TrainingSet
from tinyscope.detectors.build import build
from tinyscope.engine.evaluate_model import evaluate_detector
from tinyscope.engine.loop import BatchSource, Plan, Score, check_length, check_monitor
from tinyscope.engine.opening import Opening, Shown, batches_of, open_opening
from tinyscope.engine.predictor import check_looks, side_divisor
from tinyscope.engine.run import Run, carry_out, open_place
from tinyscope.engine.sources import fingerprint, open_samples, open_splits
from tinyscope.engine.start import start_from
from tinyscope.engine.state import Identity
from tinyscope.evaluation import evaluate
from tinyscope.formats.atomic import write_text_atomically
from tinyscope.formats.tables import Annotations, DetectionTable
from tinyscope.settings import Recipe, load_recipe


def train(
    recipe: str | Path | Recipe,
    data: str | Path | None = None,
    out: str | Path = "runs/train",
    resume: bool = False,
    overrides: Sequence[str] = (),
    devices: int = 1,
) -> Run:
    """Trains the detector of a recipe.

    On SIGTERM or SIGINT the step is finished and saved before SystemExit or KeyboardInterrupt is
    raised.

    Args:
        recipe: Name of a recipe of the package, path of a YAML file, or a recipe.
        data: Folder with the data set, where the recipe names none.
        out: Folder of the run, see `folder.py` for what it holds.
        resume: Go on with the run in `out`; it starts from the beginning if nothing is there.
        overrides: Changes such as "train.steps=500".
        devices: GPUs of this machine, or processes on its CPU; torchrun's numbers come before it.

    Raises:
        SettingsError: A setting is wrong, or the run to resume has other settings or data.
        DataError: The data set cannot be read.
        CheckpointError: A checkpoint is damaged or cannot be written.
        TrainingError: The folder cannot be used, or a loss is not finite.
    """
    chosen, folder = load_recipe(recipe, overrides), Path(out)
    check_length(chosen.train)
    place = None if data is None else Path(data)
    at = open_place(folder, chosen.train.precision, resume, devices)
    annotations, validation = open_splits(chosen.data, place)
    training_set = open_samples(chosen, annotations)
    torch.manual_seed(chosen.train.seed)
    detector = build(chosen.model, len(annotations.names))
    check_looks(detector, chosen.predict)  # else the first evaluation would be the first to say it
    start: Iterable[str] = ()
    if chosen.train.start is not None and at.checkpoint is None:
        start = (str(start_from(detector, Path(chosen.train.start))),)
    steps = _steps(chosen, training_set)
    opening = open_opening(chosen.data.opening, training_set, steps)
    shown, divisor = Shown(training_set, chosen.data.batch), side_divisor(detector)
    batches = batches_of(shown, opening, chosen.train.accumulate, chosen.data.workers, divisor)
    plan = _plan(chosen, training_set, steps, batches, _score(chosen, validation, folder))
    about = chain(
        _about(annotations, validation, training_set, detector),
        _of_videos(annotations, training_set),
        _of_opening(opening, steps),
        start,
    )
    return carry_out(at, detector, plan, chosen.to_yaml(), about)


def _about(
    train: Annotations,
    validation: Annotations | None,
    training_set: TrainingSet | ClipSet,
    detector: nn.Module,
) -> Iterator[str]:
    """What is trained on what, and what of it a user may not have meant."""
    keys = training_set.keys if isinstance(training_set, ClipSet) else training_set
    shown = keys.annotations  # other frames of videos have no targets
    objects = len(shown.boxes) - int(shown.ignore.sum())
    parameters = sum(p.numel() for p in detector.parameters())
    yield (
        f"{len(shown)} images with {objects} objects of {len(train.names)} classes "
        f"({', '.join(train.names)}); {parameters / 1e6:.2f} million parameters"
    )
    yield from train.notes
    if not objects:
        yield "warning: there are no objects to learn from"
    elif absent := [n for n, c in zip(train.names, class_counts(shown), strict=True) if not c]:
        yield f"warning: classes without an example are never found: {', '.join(absent)}"
    if validation is None:
        yield (
            "there is no validation set: nothing is evaluated, and best.ckpt holds the latest "
            "weights; name one with data.val_split or data.val"
        )
    elif shared := shared_images(train, validation):
        yield (
            f"warning: {shared} of the {len(validation)} images to evaluate on are trained on as "
            "well; scores will be too high"
        )


def _of_videos(train: Annotations, training_set: TrainingSet | ClipSet) -> Iterator[str]:
    """Which frames are trained on, and what of that a user may not have meant."""
    video = train.video
    lengths = np.ones(0, np.int64) if video is None else np.bincount(video.videos)
    moving = int((lengths > 1).sum())
    if not moving and isinstance(training_set, ClipSet):
        yield (
            "warning: the data set has no videos: every image is its own reference, and a "
            "model of videos learns nothing from it that one of images does not; give a file "
            "with videos, video_id and frame_id"
        )
    if video is None:
        return
    yield (
        f"{int(video.keys.sum())} key frames are trained on, of {len(video.frames)} frames: "
        f"{moving} videos and {int((lengths == 1).sum())} stills"
    )
    if isinstance(training_set, ClipSet) and training_set.runs.changes:
        yield (
            f"videos change the size of their frames {training_set.runs.changes} times; frames of "
            "another size are no references"
        )


def _of_opening(opening: Opening | None, steps: int) -> Iterator[str]:
    """Which steps look at other windows."""
    if opening is not None:
        later = steps - opening.steps
        kept = f" and {opening.after(later)} of the {later} after them" if opening.kept else ""
        yield (
            f"steps 1 to {opening.steps} of {steps}{kept} look at the windows of data.opening, "
            f"{opening.shown.batch} in a batch"
        )


def _epoch(recipe: Recipe, training_set: TrainingSet | ClipSet) -> float:
    return len(training_set) / (recipe.data.batch * recipe.train.accumulate)


def _steps(recipe: Recipe, training_set: TrainingSet | ClipSet) -> int:
    settings = recipe.train
    return settings.steps or math.ceil((settings.epochs or 1) * _epoch(recipe, training_set))


def _plan(
    recipe: Recipe,
    training_set: TrainingSet | ClipSet,
    steps: int,
    batches: BatchSource,
    score: Score | None,
) -> Plan:
    annotations = training_set.annotations
    return Plan(
        recipe.train,
        steps=steps,
        epoch=_epoch(recipe, training_set),
        identity=Identity(plain(recipe.model_dump()), annotations.names, fingerprint(annotations)),
        batches=batches,
        score=score,
    )


def _score(recipe: Recipe, validation: Annotations | None, folder: Path) -> Score | None:
    """Evaluates on the validation set and keeps the whole result in the run's folder."""
    if validation is None:
        return None
    nothing = DetectionTable.concatenate([])
    numbers = evaluate(validation, nothing, recipe.evaluate.protocol)  # of nothing: their names
    check_monitor(recipe.train.monitor, numbers)

    def score(detector: nn.Module) -> Mapping[str, float]:
        result = evaluate_detector(detector, validation, recipe)
        write_text_atomically(folder / "evaluation.json", result.to_json())
        return dict(result)

    return score
