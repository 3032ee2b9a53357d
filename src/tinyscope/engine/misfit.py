"""Why a published checkpoint does not fit a detector, in words that list the tensors."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from tinyscope.detectors.published import Fit
from tinyscope.errors import CheckpointError

SHOWN = 40
"""Tensors that a message lists of a kind; a whole detector has hundreds."""


def refuse_misfit(
    file: Path, names: Sequence[str], found: Fit, left_over: Sequence[str], model: nn.Module
) -> None:
    """Passes where every tensor has its place and shape on both sides.

    Args:
        file: What was read.
        names: Of its tensors.
        found: What of them has a place.
        left_over: Those without a place that are not to be ignored.
        model: What the weights are meant for.

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
            f"{file}: does not fit the recipe{_hint(found, own, model)}\n"
            + "\n".join(p for p in paragraphs if p)
        )


def _hint(found: Fit, own: Mapping[str, Tensor], model: nn.Module) -> str:
    """What the misfit looks like, and what to do about it."""
    differing = {n for n, value in found.values.items() if value.shape != own[n].shape}
    if differing and all(_by_class(name) for name in differing):
        classes = model.get_submodule("roi.head" if hasattr(model, "roi") else "head").classes
        assert isinstance(classes, int)
        rows = len(next(v for n, v in found.values.items() if n.endswith("classification.bias")))
        own_rows = len(own[next(n for n in own if n.endswith("head.classification.bias"))])
        theirs = rows - 1 if own_rows == classes + 1 else rows * classes // own_rows
        return (
            f": it was trained for {theirs} classes, and {classes} are named; give the names of "
            "its classes, in its order"
        )
    if not any(name.startswith("backbone.") for name in found.missing) and all(
        name.startswith("backbone.") for name in found.values
    ):
        return (
            ": it holds a backbone alone; import that part (--part backbone), or name the file in "
            "model.backbone.weights"
        )
    return "; choose the recipe of its network, or change settings of this one"


def _by_class(name: str) -> bool:
    return "head.classification." in name or name.startswith("roi.head.box.")


def _listed(title: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = [f"and {len(names) - SHOWN} more"] * (len(names) > SHOWN)
    return "\n  ".join([f"{title}:", *names[:SHOWN], *more])
