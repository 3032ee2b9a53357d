"""Why a published checkpoint does not fit a detector, in words that list the tensors."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from tinyscope.detectors.published.mmtracking import INSIDE
from tinyscope.detectors.published.table import Fit
from tinyscope.detectors.video import VideoDetector
from tinyscope.errors import CheckpointError

SHOWN = 40
"""Tensors that a message lists of a kind; a whole detector has hundreds."""
_SIDES = 4
_SECOND_BOX = re.compile(r"(^|\.)roi\.(stages\.\d+\.)?head\.box\.")


def refuse_misfit(
    file: Path,
    names: Sequence[str],
    found: Fit,
    left_over: Sequence[str],
    model: nn.Module,
    *,
    background_rows: bool = False,
) -> None:
    """Passes where every tensor has its place and shape on both sides.

    Args:
        file: What was read.
        names: Of its tensors.
        found: What of them has a place.
        left_over: Those without a place that are not to be ignored.
        model: What the weights are meant for.
        background_rows: Whether the sigmoids of the file's one-stage detectors have a row for
            background, as torchvision's have.

    Raises:
        CheckpointError: Lists what does not fit.
    """
    own = model.state_dict()
    if not found.values:
        raise CheckpointError(
            f"{file}: nothing in it matches; it holds {', '.join(list(names)[:3])}, ..., wanted "
            f"are {', '.join(found.missing[:3])}, ...; choose the recipe of its network"
        )
    differing = [
        f"{name}: {tuple(value.shape)} in the file, {tuple(own[name].shape)} in the model"
        for name, value in found.values.items()
        if value.shape != own[name].shape
    ]
    paragraphs = [
        _listed(f"{len(found.missing)} tensors are wanted and not in it", found.missing),
        _listed(f"{len(left_over)} of its tensors have no place", left_over),
        _listed(f"{len(differing)} tensors differ in shape", differing),
    ]
    if any(paragraphs):
        raise CheckpointError(
            f"{file}: does not fit the recipe{_hint(found, own, model, background_rows)}\n"
            + "\n".join(p for p in paragraphs if p)
        )


def _hint(found: Fit, own: Mapping[str, Tensor], model: nn.Module, background_rows: bool) -> str:
    """What the misfit looks like, and what to do about it."""
    path = "model"
    if isinstance(model, VideoDetector):  # what can be told is of the detector of images in it
        path, model = "model.detector", model.get_submodule("detector")
        found, own = _inside(found), {_inner(n): value for n, value in own.items()}
    differing = {n for n, value in found.values.items() if value.shape != own[n].shape}
    if differing and all(depends_on_classes(name) for name in differing):
        said = [
            _class_count(found, own, model, path, background_rows),
            _boxes_per_class(found, own, model, path),
        ]
        if any(said):
            return ": " + "; ".join(hint for hint in said if hint)
    if not any(name.startswith("backbone.") for name in found.missing) and all(
        name.startswith("backbone.") for name in found.values
    ):
        return (
            ": it holds a backbone alone; import that part (--part backbone), or name the file in "
            f"{path}.backbone.weights"
        )
    return "; choose the recipe of its network, or change settings of this one"


def _inside(found: Fit) -> Fit:
    """What of a video detector is the detector of images, by the names that this has alone."""
    return replace(
        found,
        values={_inner(name): value for name, value in found.values.items()},
        missing=tuple(_inner(name) for name in found.missing),
    )


def _inner(name: str) -> str:
    return name.removeprefix(INSIDE)


def depends_on_classes(name: str) -> bool:
    """Whether a detector's tensor has rows for its classes, by the tensor's name."""
    return "head.classification." in name or bool(_SECOND_BOX.search(name))


def _class_count(
    found: Fit, own: Mapping[str, Tensor], model: nn.Module, path: str, background_rows: bool
) -> str:
    """That the file has another number of classes, where its rows say so."""
    part = _second_heads(model)[0] if hasattr(model, "roi") else "head"
    name = f"{part}.classification.bias"
    if name not in found.values or len(found.values[name]) == len(own[name]):
        return ""
    head = model.get_submodule(part)
    classes = head.classes
    assert isinstance(classes, int)
    if getattr(head, "groups", None) is not None:
        return (
            f"its classes share one softmax, and those of {path}.{part} are in groups; import it "
            "without groups, and let a training with groups start from that (train.start)"
        )
    rows = len(found.values[name])
    if hasattr(model, "roi"):  # softmax, with a row for background
        theirs = rows - 1
    else:  # sigmoids of every class, per anchor
        anchors = len(own[name]) // classes
        if rows % anchors:
            return ""
        theirs = rows // anchors - background_rows
    return (
        f"it was trained for {theirs} classes, and {classes} are named; give the names of its "
        "classes, in its order"
    )


def _boxes_per_class(found: Fit, own: Mapping[str, Tensor], model: nn.Module, path: str) -> str:
    """That the file has deltas for every class and ours for all together, or the reverse."""
    for part in _second_heads(model) if hasattr(model, "roi") else ():
        name = f"{part}.box.bias"
        if name not in found.values or len(found.values[name]) == len(own[name]):
            continue
        per_class = model.get_submodule(part).per_class
        if per_class and len(found.values[name]) == _SIDES:
            return f"its boxes are the same for all classes; set {path}.{part}.per_class=false"
        if not per_class:
            return f"it has boxes for every class; set {path}.{part}.per_class=true"
    return ""


def _second_heads(model: nn.Module) -> list[str]:
    """Names of the heads of a second stage, or of several in a row."""
    if not hasattr(model.roi, "head"):
        stages = model.get_submodule("roi.stages").named_children()
        return [f"roi.stages.{name}.head" for name, _ in stages]
    return ["roi.head"]


def _listed(title: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = [f"and {len(names) - SHOWN} more"] * (len(names) > SHOWN)
    return "\n  ".join([f"{title}:", *names[:SHOWN], *more])
