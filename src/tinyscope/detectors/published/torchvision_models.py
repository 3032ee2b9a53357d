"""Names of torchvision's detectors, and their order of classes: background first.

Its labels start with 1. The row of label 0 means background in the softmax of Faster R-CNN, so it
becomes our last; the deltas of background, and its row in the sigmoids of RetinaNet, are never
used and are left out. A RetinaNet file with as many rows as there are classes is taken as it is.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from torch import Tensor, nn

from tinyscope.detectors.published.table import Entry, Keys
from tinyscope.errors import CheckpointError
from tinyscope.nn.heads.retina import RetinaHead
from tinyscope.nn.heads.rpn import RpnHead
from tinyscope.nn.heads.tower import Tower
from tinyscope.nn.heads.two_fc import TwoFcHead
from tinyscope.nn.necks.fpn import FPN

Part = TypeVar("Part", bound=nn.Module)
KINDS = ("weight", "bias")


def torchvision_keys(detector: nn.Module) -> Keys:
    """The key table of a detector.

    Raises:
        CheckpointError: torchvision has no such detector.
    """
    neck = detector.get_submodule("neck")
    if not isinstance(neck, FPN):
        raise CheckpointError(f"neck: torchvision has no {type(neck).__name__}; it has FPN alone")
    backbone = detector.get_submodule("backbone").state_dict()
    keys = {f"backbone.{name}": Entry((f"backbone.body.{name}",)) for name in backbone}
    pairs = [*_fpn(neck), *_heads(detector)]
    own = detector.state_dict()
    keys |= {
        f"{ours}.{kind}": Entry((f"{theirs}.{kind}",))
        for ours, theirs in pairs
        for kind in KINDS
        if f"{ours}.{kind}" in own
    }
    return keys | _class_rows(detector)


def older_torchvision_name(name: str) -> str:
    """Today's name: until version 0.14, convolutions stood bare where blocks stand today."""
    name = re.sub(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(\w+)$", r"\1.0.\2", name)
    name = re.sub(r"^rpn\.head\.conv\.(\w+)$", r"rpn.head.conv.0.0.\1", name)
    # ReLUs, which have no tensors, counted too.
    return re.sub(
        r"^(head\.(?:classification|regression)_head\.conv)\.(\d+)\.(\w+)$",
        lambda found: f"{found[1]}.{int(found[2]) // 2}.0.{found[3]}",
        name,
    )


def _fpn(neck: FPN) -> Iterator[tuple[str, str]]:
    for i in range(len(neck.lateral)):
        yield f"neck.lateral.{i}.0", f"backbone.fpn.inner_blocks.{i}.0"
    for i in range(len(neck.smooth)):
        yield f"neck.smooth.{i}.0", f"backbone.fpn.layer_blocks.{i}.0"
    for i in range(len(neck.added)):
        yield f"neck.added.{i}.0", f"backbone.fpn.extra_blocks.p{6 + i}"


def _heads(detector: nn.Module) -> Iterator[tuple[str, str]]:
    if hasattr(detector, "roi"):
        _expect(detector, "rpn.head", RpnHead)
        yield "rpn.head.shared", "rpn.head.conv.0.0"
        yield "rpn.head.objectness", "rpn.head.cls_logits"
        yield "rpn.head.box", "rpn.head.bbox_pred"
        _expect(detector, "roi.head", TwoFcHead)
        yield "roi.head.first", "roi_heads.box_head.fc6"
        yield "roi.head.second", "roi_heads.box_head.fc7"
    else:
        head = _expect(detector, "head", RetinaHead)
        yield from _tower("head.classification_tower", "classification", head.classification_tower)
        yield from _tower("head.box_tower", "regression", head.box_tower)
        yield "head.box", "head.regression_head.bbox_reg"


def _tower(ours: str, branch: str, tower: nn.Module) -> Iterator[tuple[str, str]]:
    assert isinstance(tower, Tower)
    for i in range(len(tower.convolutions)):
        yield f"{ours}.convolutions.{i}", f"head.{branch}_head.conv.{i}.0"
        yield f"{ours}.norms.{i}.0", f"head.{branch}_head.conv.{i}.1"


def _class_rows(detector: nn.Module) -> Keys:
    if hasattr(detector, "roi"):
        theirs = "roi_heads.box_predictor"
        rows = {
            f"roi.head.classification.{kind}": Entry(
                (f"{theirs}.cls_score.{kind}",), _background_last, None
            )
            for kind in KINDS
        }
        return rows | {
            f"roi.head.box.{kind}": Entry((f"{theirs}.bbox_pred.{kind}",), _drop_first_deltas, None)
            for kind in KINDS
        }
    head = _expect(detector, "head", RetinaHead)

    def drop_background(tensors: Sequence[Tensor]) -> Tensor:
        """Rows anchor-major, class-minor; the first class of each anchor is left out."""
        (rows,) = tensors
        anchors = head.box.out_channels // 4
        if len(rows) != anchors * (head.classes + 1):
            return rows
        return rows.view(anchors, -1, *rows.shape[1:])[:, 1:].flatten(0, 1)

    return {
        f"head.classification.{kind}": Entry(
            (f"head.classification_head.cls_logits.{kind}",), drop_background, None
        )
        for kind in KINDS
    }


def _expect(detector: nn.Module, name: str, kind: type[Part]) -> Part:
    owner, _, attribute = name.rpartition(".")
    part = getattr(detector.get_submodule(owner), attribute, None)
    if not isinstance(part, kind):
        # Its FCOS has biases before its group norms, which ours cannot hold.
        raise CheckpointError(
            f"{name}: of torchvision's detectors Faster R-CNN and RetinaNet can be read, "
            f"not those with a {type(part or detector.get_submodule(owner)).__name__}"
        )
    return part


def _background_last(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0].roll(-1, 0)


def _drop_first_deltas(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0][4:]
