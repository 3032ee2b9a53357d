"""What published checkpoints call the tensors of our detectors, and how the two are exchanged."""

from collections.abc import Collection
from typing import Literal

from tinyscope.detectors.published.mmdet import mmdet_keys, older_mmdet_name
from tinyscope.detectors.published.mmtracking import mmtracking_keys, older_mmtracking_name
from tinyscope.detectors.published.table import PREFIXES, Fit, Layout, fit, tensors_of
from tinyscope.detectors.published.torchvision_models import (
    older_torchvision_name,
    torchvision_keys,
)

LayoutName = Literal["mmdet", "mmtracking", "torchvision"]
LAYOUTS: dict[LayoutName, Layout] = {
    "mmdet": Layout(mmdet_keys, older_mmdet_name),
    "mmtracking": Layout(mmtracking_keys, older_mmtracking_name),
    "torchvision": Layout(torchvision_keys, older_torchvision_name),
}
"""Layouts of published checkpoints by name."""

__all__ = ["LAYOUTS", "Fit", "Layout", "LayoutName", "fit", "layout_of", "tensors_of"]


def layout_of(names: Collection[str]) -> LayoutName:
    """The layout that a file's names are in, by what it alone has.

    That of torchvision's backbones in a `body`, that of mmtracking is a detector beside a flow net.
    """
    bodies = tuple(f"{prefix}backbone.body." for prefix in PREFIXES)
    flows = tuple(f"{prefix}motion." for prefix in PREFIXES)
    if any(name.startswith(bodies) for name in names):
        return "torchvision"
    return "mmtracking" if any(name.startswith(flows) for name in names) else "mmdet"
