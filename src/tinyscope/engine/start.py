"""The weights of a trained detector as the beginning of another training (fine-tuning)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tinyscope.detectors.published.misfit import depends_on_classes
from tinyscope.detectors.video import VideoDetector, image_detector
from tinyscope.engine.checkpoint import load_checkpoint
from tinyscope.errors import CheckpointError
from tinyscope.settings import image_model

SHOWN = 4
"""Tensors that a message lists."""


@dataclass(frozen=True)
class Started:
    """What a training begins with: how many tensors are the file's, and which stay fresh.

    `of_images`: the file is of a detector of images, and what joins frames is fresh as well.
    """

    file: Path
    taken: int
    fresh: tuple[str, ...]
    of_images: bool = False

    def __str__(self) -> str:
        text = f"starts from {self.file}: {self.taken} tensors"
        if self.fresh:
            text += f"; fresh, as classes or groups are others: {', '.join(self.fresh)}"
        if self.of_images:
            text += "; motion and aggregator are fresh, as it is a detector of images"
        return text


def start_from(detector: nn.Module, file: Path) -> Started:
    """Copies the weights of a checkpoint of ours into a detector of the same parts.

    Tensors that have rows for the classes stay as they are where their number differs, and so do
    classifiers whose rows stand for others, because classes are in other groups. A detector of
    videos may begin with one of images, which becomes its inner one.

    Raises:
        CheckpointError: The file cannot be read, or is of another network; nothing was copied.
    """
    checkpoint = load_checkpoint(file)
    weights = checkpoint.weights
    of_images = (
        isinstance(detector, VideoDetector)
        and image_model(checkpoint.recipe["model"])[1] == "model"
    )
    if of_images:
        detector = image_detector(detector)
    own = detector.state_dict()
    fresh = tuple(
        name
        for name, tensor in own.items()
        if name in weights
        and depends_on_classes(name)
        and (
            weights[name].shape != tensor.shape
            or _other_groups(detector, checkpoint.recipe["model"], name)
        )
    )
    differing = [
        name
        for name in {**own, **weights}
        if name not in fresh
        and (name not in own or name not in weights or own[name].shape != weights[name].shape)
    ]
    if differing:
        more = f", and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise CheckpointError(
            f"train.start: {file} is of another network; its tensors differ in "
            f"{', '.join(differing[:SHOWN])}{more}; name a checkpoint that was trained with the "
            "same model, or only its backbone in model.backbone.weights"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in fresh:
                tensor.copy_(weights[name])
    return Started(file, len(own) - len(fresh), fresh, of_images)


def _other_groups(detector: nn.Module, model: Mapping[str, Any], name: str) -> bool:
    """Whether a classifier's rows mean other classes than those of a model with such settings.

    Modules have the names of the settings that they are built from: `roi.head` is `model.roi.head`.
    """
    head, classifier, _ = name.partition(".classification.")
    if not classifier:
        return False
    options: Any = model
    for key in head.split("."):
        if isinstance(options, list):
            options = options[int(key)] if key.isdecimal() and int(key) < len(options) else None
        else:
            options = options.get(key) if isinstance(options, Mapping) else None
    then = options.get("groups") if isinstance(options, Mapping) else None
    now = getattr(detector.get_submodule(head), "groups", None)
    return _ascending(then) != _ascending(now)


def _ascending(groups: Sequence[Sequence[int]] | None) -> list[list[int]] | None:
    """Groups as their columns stand; the order of members within a group does not matter."""
    return None if groups is None else [sorted(group) for group in groups]
