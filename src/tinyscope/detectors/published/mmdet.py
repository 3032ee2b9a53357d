"""Names of mmdet 2.x and of what is built on it; classes from 0, background last, as ours.

Also equal to ours are the order of anchors in a cell (ratio-major), of deltas (x, y, width, height;
left, top, right, bottom), of deltas by class (class-major) and of the flattened pooled features
(channel, row, column), so that names are all that differ.
"""

import re
from collections.abc import Callable, Iterator

from torch import nn

from tinyscope.detectors.cascade import CascadeStage
from tinyscope.detectors.published.table import Entry, Keys, stacked
from tinyscope.errors import CheckpointError
from tinyscope.nn.heads.fcos import FcosHead
from tinyscope.nn.heads.fovea import FoveaHead
from tinyscope.nn.heads.retina import RetinaHead
from tinyscope.nn.heads.rpn import RpnHead
from tinyscope.nn.heads.tower import Tower
from tinyscope.nn.heads.two_fc import TwoFcHead
from tinyscope.nn.necks.atrous import AtrousPyramid
from tinyscope.nn.necks.channel_mapper import ChannelMapper
from tinyscope.nn.necks.fpn import FPN
from tinyscope.nn.necks.hrfpn import HRFPN
from tinyscope.nn.necks.recursive import RecursivePyramid
from tinyscope.nn.necks.sspnet import SSPNet

Pairs = Iterator[tuple[str, str]]
"""Our name of a module and theirs, below the part that they belong to."""


def mmdet_keys(detector: nn.Module) -> Keys:
    """The key table of a detector.

    Raises:
        CheckpointError: A part has no published counterpart.
    """
    keys = {name: Entry((name,)) for name in _names(detector, "backbone")}
    keys |= _keys(detector, "neck", "neck")
    if hasattr(detector, "roi"):
        keys |= _keys(detector, "rpn.head", "rpn_head")
        keys |= _second_stage(detector)
    else:
        keys |= _keys(detector, "head", "bbox_head")
    return keys


def older_mmdet_name(name: str) -> str:
    """Today's name: FCOS heads named their last convolutions differently until version 2.0."""
    return re.sub(r"^bbox_head\.fcos_(cls|reg|centerness)\.", r"bbox_head.conv_\1.", name)


def _keys(detector: nn.Module, ours: str, theirs: str) -> Keys:
    part = detector.get_submodule(ours)
    modules = dict(_pairs(part, ours))
    keys: Keys = {}
    for name in _names(detector, ours):
        owner, _, kind = name.removeprefix(f"{ours}.").rpartition(".")
        if owner in modules:
            keys[name] = Entry((f"{theirs}.{modules[owner]}.{kind}",))
        else:
            assert isinstance(part, FcosHead)
            assert kind == "scales"
            count = len(part.scales)
            keys[name] = stacked([f"{theirs}.scales.{i}.scale" for i in range(count)])
    return keys


def _pairs(part: nn.Module, path: str) -> Pairs:
    if type(part) not in _PARTS:
        raise CheckpointError(
            f"{path}: mmdet has no {type(part).__name__}, or its names are not known; parts whose "
            f"names are: {', '.join(kind.__name__ for kind in _PARTS)}"
        )
    return _PARTS[type(part)](part)


def _second_stage(detector: nn.Module) -> Keys:
    """One head, or several in a row, which are numbered."""
    if not isinstance(detector.get_submodule("roi"), CascadeStage):
        return _keys(detector, "roi.head", "roi_head.bbox_head")
    keys: Keys = {}
    for i, _ in detector.get_submodule("roi.stages").named_children():
        keys |= _keys(detector, f"roi.stages.{i}.head", f"roi_head.bbox_head.{i}")
    return keys


def _names(detector: nn.Module, part: str) -> list[str]:
    return [f"{part}.{name}" for name in detector.get_submodule(part).state_dict()]


def _fpn(neck: nn.Module) -> Pairs:
    assert isinstance(neck, FPN)
    for i, lateral in enumerate(neck.lateral):
        yield from _convolution(f"lateral.{i}", f"lateral_convs.{i}", lateral)
    for i, smooth in enumerate(neck.smooth):
        yield from _convolution(f"smooth.{i}", f"fpn_convs.{i}", smooth)
    for i, added in enumerate(neck.added):
        yield from _convolution(f"added.{i}", f"fpn_convs.{len(neck.smooth) + i}", added)


def _sspnet(neck: nn.Module) -> Pairs:
    assert isinstance(neck, SSPNet)
    for i in range(len(neck.lateral)):
        yield f"lateral.{i}", f"lateral_convs.{i}.conv"
    for i in range(len(neck.smooth)):
        yield f"smooth.{i}", f"fpn_convs.{i}.conv"
    yield "context.join", "CAM.dila_conv.0"
    yield from _views("context.views", "CAM.dila_conv.1", neck.context.views)
    yield "context.blend", "CAM.dila_conv.2"
    yield "context.norm", "CAM.dila_conv.3"
    for i in range(len(neck.context.down)):
        yield f"context.down.{i}", f"CAM.down_conv.{i}"
        yield f"context.attend.{i}", f"CAM.att_conv.{i}"


def _recursive(neck: nn.Module) -> Pairs:
    assert isinstance(neck, RecursivePyramid)
    for ours, theirs in _pairs(neck.neck, "neck.neck"):
        yield f"neck.{ours}", theirs
    for name, _ in neck.backbone.named_modules():
        yield f"backbone.{name}", f"rfp_modules.0.{name}"
    for i, stride in enumerate(neck.fed):
        yield f"feedback.{i}", f"rfp_modules.0.{neck.backbone.stage_name(stride)}.0.rfp_conv"
    yield from _views("views", "rfp_aspp", neck.views)
    yield "gate", "rfp_weight"


def _views(ours: str, theirs: str, views: AtrousPyramid) -> Pairs:
    names = ("cell", *(f"wide.{i}" for i in range(len(views.wide))), "whole")
    for i, name in enumerate(names):
        yield f"{ours}.{name}", f"{theirs}.aspp.{i}"


def _channel_mapper(neck: nn.Module) -> Pairs:
    assert isinstance(neck, ChannelMapper)
    for i in range(len(neck.convolutions)):
        yield f"convolutions.{i}", f"convs.{i}.conv"


def _hrfpn(neck: nn.Module) -> Pairs:
    assert isinstance(neck, HRFPN)
    yield "reduce", "reduction_conv.conv"
    for i in range(len(neck.smooth)):
        yield f"smooth.{i}", f"fpn_convs.{i}.conv"


def _convolution(ours: str, theirs: str, layers: nn.Module) -> Pairs:
    """A convolution of a neck with its norm; nothing of a pooling."""
    if isinstance(layers, nn.Sequential):
        yield f"{ours}.0", f"{theirs}.conv"
        yield from ((f"{ours}.1", f"{theirs}.{_norm(norm)}") for norm in list(layers)[1:])


def _norm(module: nn.Module) -> str:
    return "gn" if isinstance(module, nn.GroupNorm) else "bn"


def _tower(ours: str, theirs: str, tower: nn.Module) -> Pairs:
    assert isinstance(tower, Tower)
    for i in range(len(tower.convolutions)):
        yield f"{ours}.convolutions.{i}", f"{theirs}.{i}.conv"
    for i, norms in enumerate(tower.norms):
        assert isinstance(norms, nn.ModuleList)
        # Theirs has one norm for all levels; where ours has one for each, all get it.
        for level, norm in enumerate(norms):
            yield f"{ours}.norms.{i}.{level}", f"{theirs}.{i}.{_norm(norm)}"


def _retina(head: nn.Module) -> Pairs:
    assert isinstance(head, RetinaHead)
    yield from _tower("classification_tower", "cls_convs", head.classification_tower)
    yield from _tower("box_tower", "reg_convs", head.box_tower)
    yield "classification", "retina_cls"
    yield "box", "retina_reg"


def _fcos(head: nn.Module) -> Pairs:
    assert isinstance(head, FcosHead)
    yield from _tower("classification_tower", "cls_convs", head.classification_tower)
    yield from _tower("box_tower", "reg_convs", head.box_tower)
    yield "classification", "conv_cls"
    yield "box", "conv_reg"
    yield "quality", "conv_centerness"


def _fovea(head: nn.Module) -> Pairs:
    assert isinstance(head, FoveaHead)
    yield from _tower("classification_tower", "cls_convs", head.classification_tower)
    yield from _tower("box_tower", "reg_convs", head.box_tower)
    yield "classification", "conv_cls"
    yield "box", "conv_reg"


def _rpn(head: nn.Module) -> Pairs:
    yield "shared", "rpn_conv"
    yield "objectness", "rpn_cls"
    yield "box", "rpn_reg"


def _two_fc(head: nn.Module) -> Pairs:
    yield "first", "shared_fcs.0"
    yield "second", "shared_fcs.1"
    yield "classification", "fc_cls"
    yield "box", "fc_reg"


_PARTS: dict[type[nn.Module], Callable[[nn.Module], Pairs]] = {
    ChannelMapper: _channel_mapper,
    FPN: _fpn,
    HRFPN: _hrfpn,
    RecursivePyramid: _recursive,
    SSPNet: _sspnet,
    RetinaHead: _retina,
    FcosHead: _fcos,
    FoveaHead: _fovea,
    RpnHead: _rpn,
    TwoFcHead: _two_fc,
}
