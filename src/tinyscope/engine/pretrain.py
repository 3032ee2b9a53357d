"""Trains a backbone to tell what images show, so that a detector can start from it."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from tinyscope.catalog import plain
from tinyscope.data.batches import Loader, Steps, step_loader
from tinyscope.data.classification.labeled import LabeledImages
from tinyscope.data.classification.samples import LabeledSamples, LabeledShares
from tinyscope.detectors.build import build_classifier
from tinyscope.engine.accuracy import classify
from tinyscope.engine.image_sets import fingerprint, open_image_sets, open_samples
from tinyscope.engine.loop import BatchSource, Plan, Score, check_length, check_monitor
from tinyscope.engine.machine import Precision
from tinyscope.engine.run import Run, carry_out, open_place
from tinyscope.engine.state import Identity
from tinyscope.formats.atomic import write_text_atomically
from tinyscope.pretraining import PretrainRecipe, load_pretraining

BETTER_WHEN_HIGHER = ("top1", "top5")
"""Numbers that can decide which checkpoint is the best."""


def pretrain(
    recipe: str | Path | PretrainRecipe,
    data: str | Path | None = None,
    out: str | Path = "runs/pretrain",
    resume: bool = False,
    overrides: Sequence[str] = (),
    devices: int = 1,
) -> Run:
    """Trains the classifier of a recipe; arguments and signals as of `train`.

    `best.ckpt` holds the backbone under the names that `model.backbone.weights` of a detector's
    recipe looks for.

    Args:
        recipe: Name of a recipe of pre-training, path of a YAML file, or a recipe.
        data: Folder or archive of the images, where the recipe names none.
        out: Folder of the run.
        resume: Go on with the run in `out`; it starts from the beginning if nothing is there.
        overrides: Changes such as "train.epochs=5".
        devices: GPUs of this machine, or processes on its CPU; torchrun's numbers come before it.

    Raises:
        SettingsError: A setting is wrong, or the run to resume has other settings or data.
        DataError: The images cannot be read, or are of other sizes or classes than expected.
        CheckpointError: A checkpoint is damaged or cannot be written.
        TrainingError: The folder cannot be used, or a loss is not finite.
    """
    chosen, folder = load_pretraining(recipe, overrides), Path(out)
    check_monitor(chosen.train.monitor, BETTER_WHEN_HIGHER)
    check_length(chosen.train)
    place = None if data is None else Path(data)
    at = open_place(folder, chosen.train.precision, resume, devices)
    # Decoding a large archive takes minutes in which nothing else would be seen.
    at.fabric.print(f"reading images{'' if place is None else f' of {place}'}", flush=True)
    images, validation = open_image_sets(chosen.data, place)
    samples = open_samples(chosen.data, images, chosen.train.seed, training=True)
    torch.manual_seed(chosen.train.seed)
    model = build_classifier(chosen.model, len(images.names))
    score = _score(chosen, validation, folder, at.precision)
    plan = _plan(chosen, samples, score)
    about = _about(images, validation, model)
    return carry_out(at, model, plan, chosen.to_yaml(), about)


def _about(
    train: LabeledImages, validation: LabeledImages | None, model: nn.Module
) -> Iterator[str]:
    parameters = sum(p.numel() for p in model.parameters())
    shown = ", ".join(train.names[:10]) + ", ..." * (len(train.names) > 10)
    yield (
        f"{len(train)} images of {len(train.names)} classes ({shown}); "
        f"{parameters / 1e6:.2f} million parameters"
    )
    if validation is None:
        yield (
            "there is no validation set: nothing is evaluated, and best.ckpt holds the latest "
            "weights; name one with data.val_split or data.val"
        )
    else:
        yield f"evaluated on {len(validation)} images ({validation.split})"


def _plan(recipe: PretrainRecipe, samples: LabeledSamples, score: Score | None) -> Plan:
    settings, images = recipe.train, samples.images
    epoch = len(samples) / (recipe.data.batch * settings.accumulate)
    return Plan(
        settings,
        steps=settings.steps or math.ceil((settings.epochs or 1) * epoch),
        epoch=epoch,
        identity=Identity(plain(recipe.model_dump()), images.names, fingerprint(images)),
        batches=_batches(recipe, samples),
        score=score,
        objects=False,
    )


def _batches(recipe: PretrainRecipe, samples: LabeledSamples) -> BatchSource:
    def batches(start: int, end: int, rank: int, world: int) -> Loader:
        steps = Steps(recipe.data.batch, start, end, rank, world)
        pin = torch.cuda.is_available()
        return step_loader(LabeledShares(samples), steps, recipe.data.workers, pin=pin)

    return batches


def _score(
    recipe: PretrainRecipe, validation: LabeledImages | None, folder: Path, precision: Precision
) -> Score | None:
    """Evaluates on the validation set and keeps the whole result in the run's folder."""
    if validation is None:
        return None
    samples = open_samples(recipe.data, validation, recipe.train.seed, training=False)

    def score(model: nn.Module) -> Mapping[str, float]:
        found = classify(model, samples, recipe.data.batch, recipe.data.workers, precision)
        write_text_atomically(folder / "evaluation.json", json.dumps(found, indent=1))
        return {name: found[name] for name in (*BETTER_WHEN_HIGHER, "loss")}

    return score
