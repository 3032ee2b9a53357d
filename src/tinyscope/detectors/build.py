"""A detector from the settings of its model; a part gets what earlier ones say of themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from tinyscope.catalog import arguments
from tinyscope.detectors.neck import refuse_dropped_losses
from tinyscope.detectors.parts import BatchAssigner
from tinyscope.errors import SettingsError
from tinyscope.ops.receptive_field import receptive_field
from tinyscope.settings import IN_A_MODEL, check_part, table


def build(model: Mapping[str, Any], classes: int) -> nn.Module:
    """A detector with fresh weights.

    Args:
        model: The `model` of a recipe.
        classes: Number of classes.

    Raises:
        SettingsError: A setting is wrong, or parts do not fit together.
        CheckpointError: A backbone's pre-trained weights cannot be loaded.
    """
    return _detector(check_part(model, "model", "model"), "model", "model", classes)


def build_classifier(model: Mapping[str, Any], classes: int) -> nn.Module:
    """A classifier with fresh weights, from the `model` of a recipe of pre-training.

    Raises:
        SettingsError, CheckpointError: As `build`.
    """
    checked = check_part(model, "model", "classifier")
    parts = {"backbone": _simple(checked, "backbone", "model"), "classes": classes}
    classifier: nn.Module = _assemble(checked, "model", "classifier", parts)
    return classifier


def _detector(checked: Mapping[str, Any], path: str, key: str, classes: int) -> nn.Module:
    """A detector of images; or one of videos, around another of images."""
    if "detector" in checked:
        inner: Any = _detector(checked["detector"], f"{path}.detector", "detector", classes)
        parts = {"detector": inner, "motion": _simple(checked, "motion", path)}
        channels = inner.neck.channels
        parts["aggregator"] = _simple(checked, "aggregator", path, channels=channels)
    else:
        parts = _of_images(checked, path, key, classes)
    detector: nn.Module = _assemble(checked, path, key, parts)
    return detector


def _of_images(checked: Mapping[str, Any], path: str, key: str, classes: int) -> dict[str, Any]:
    """The parts of a detector of images."""
    backbone = _simple(checked, "backbone", path)
    neck = _neck(checked["neck"], f"{path}.neck", backbone)
    names = (checked["neck"]["name"], checked["name"])
    refuse_dropped_losses(neck, table(key).load(checked["name"]), names)
    given = {"channels": neck.channels, "strides": neck.strides, "classes": classes}
    given["fields"] = _receptive_fields(backbone, neck)
    parts = {"backbone": backbone, "neck": neck}
    for stage in ("rpn", "roi"):
        if stage in checked:
            parts[stage] = _stage(checked[stage], f"{path}.{stage}", stage, given)
    return parts | _stage_parts(checked, path, given)


def _neck(options: Mapping[str, Any], path: str, backbone: Any) -> Any:
    """A neck, and before it what is inside: a backbone of its own, a neck behind that one."""
    inside: dict[str, Any] = {}
    if "backbone" in options:
        inside["backbone"] = _simple(options, "backbone", path)
    if "neck" in options:
        second = inside.get("backbone", backbone)
        inside["neck"] = _neck(options["neck"], f"{path}.neck", second)
    levels = {"in_channels": backbone.channels, "in_strides": backbone.strides}
    return _assemble(options, path, "neck", levels | inside)


def _receptive_fields(backbone: Any, neck: Any) -> tuple[int, ...] | None:
    """Pixels per side that the neck's levels depend on, where both parts know their kernels."""
    if not hasattr(backbone, "convolutions") or not hasattr(neck, "chains"):
        return None
    return tuple(receptive_field(chain) for chain in neck.chains(backbone.convolutions))


def _stage_parts(owner: Mapping[str, Any], path: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a head and its matching, those of them that the owner has."""
    parts: dict[str, Any] = {}
    more = dict(given)
    if "priors" in owner:
        parts["priors"] = _simple(
            owner, "priors", path, strides=given["strides"], fields=given["fields"]
        )
        more["priors_per_cell"] = parts["priors"].per_cell
    if "pool" in owner:
        more["pool"] = owner["pool"]
    if "head" in owner:
        parts["head"] = _simple(owner, "head", path, **more)
    for key in ("assigner", "sampler", "coder"):
        if key in owner:
            parts[key] = _simple(owner, key, path, strides=given["strides"])
    if "stages" in owner:
        _refuse_unused(owner["stages"], f"{path}.stages")
        parts["stages"] = [
            _stage(options, f"{path}.stages.{i}", "stages", given)
            for i, options in enumerate(owner["stages"])
        ]
    return parts


_OF_THE_LAST = ("score_threshold", "nms", "decay", "decay_floor", "limit")
"""Options of stages in a row by which the last of them alone selects detections."""


def _refuse_unused(stages: Sequence[Mapping[str, Any]], path: str) -> None:
    """Options of earlier stages that would have no effect may not be set."""
    for i, options in enumerate(stages[:-1]):
        known, _ = arguments(table("stages").load(options["name"]))
        for key in _OF_THE_LAST:
            if options[key] != known[key].default:
                raise SettingsError(
                    f"{path}.{i}.{key}: got {options[key]}, which has no effect, as the last stage "
                    f"selects the detections; set {path}.{len(stages) - 1}.{key}"
                )


def _stage(options: Mapping[str, Any], path: str, key: str, given: Mapping[str, Any]) -> Any:
    """A stage of a detector with its parts."""
    return _assemble(options, path, key, _stage_parts(options, path, given))


def _simple(owner: Mapping[str, Any], key: str, path: str, **supplied: Any) -> Any:
    return table(key).build(owner[key], f"{path}.{key}", **supplied)


def _refuse_carrying(owner: Mapping[str, Any], path: str, parts: Mapping[str, Any]) -> None:
    """Priors cannot be carried from image to image where each image has others."""
    assigner = parts.get("assigner")
    if not isinstance(assigner, BatchAssigner) or not assigner.carry:
        return
    for key in ("overhang", "own_padding"):
        if owner.get(key) is not None:
            raise SettingsError(
                f"{path}.{key}: got {owner[key]}, by which each image has priors of its own, but "
                f"{path}.assigner.carry takes those that the image before left; set one of them"
            )


def _assemble(owner: Mapping[str, Any], path: str, key: str, parts: Mapping[str, Any]) -> Any:
    """The owner, from its own options and its finished parts."""
    _refuse_carrying(owner, path, parts)
    options = {k: v for k, v in owner.items() if k not in IN_A_MODEL}
    return table(key).build(options, path, **parts)
