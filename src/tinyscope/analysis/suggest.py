"""A bottom-heavy backbone in place of the one that a recipe has, by budget and object size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tinyscope.analysis.construct import Candidate, bottom_heavy_depths
from tinyscope.analysis.construct_hrnet import bottom_heavy_branches
from tinyscope.analysis.stage_costs import block_operations, stage_costs
from tinyscope.catalog import arguments
from tinyscope.errors import SettingsError
from tinyscope.nn.backbones import BACKBONES
from tinyscope.nn.backbones.bottom_heavy import BottomHeavyResNet
from tinyscope.nn.blocks import BasicBlock
from tinyscope.types import Size

_SHOWN = 4
_STAGED = ("resnet", "bottom_heavy")
_BRANCHED = ("hrnet", "bottom_heavy_hrnet")
_OF_WEIGHTS = ("weights", "frozen_stages", "norm_eval", "norm_affine", "stride_first")
"""Options that suit pre-trained weights, which what is suggested does not have yet."""
_MOST = 4
"""Times the backbone's own cost that a budget may be: beyond it, depths are not comparable."""


@dataclass(frozen=True)
class Choice:
    """Blocks that fit: per stage, or per stage and branch; `deviation` as a fraction of the
    budget."""

    blocks: tuple[Any, ...]
    operations: int
    deviation: float
    parameters: int


@dataclass(frozen=True)
class Suggestion:
    """Settings of a backbone that meets `budget` (published operations), and what came next."""

    backbone: Mapping[str, Any]
    budget: int
    chosen: Choice
    runners_up: tuple[Choice, ...]


def suggest(
    backbone: Mapping[str, Any],
    size: Size,
    *,
    budget: int | None = None,
    tolerance: float = 0.01,
    object_side: int | float | None = None,
) -> Suggestion:
    """The bottom-heavy backbone that the rule takes.

    Args:
        backbone: Name and options of the one that it shall replace, as in a recipe.
        size: (h, w) of the images.
        budget: Published operations at that size; None means those of `backbone`.
        tolerance: How far the cost may lie from the budget, as a fraction of it.
        object_side: Side of typical objects, pixels: the stages of which it covers at least two
            cells shall grow. None means the first two, as in the paper.

    Raises:
        SettingsError: The backbone has no stages that the rule knows, the budget is of another
            order than its cost, or nothing fits.
    """
    name = backbone.get("name")
    if name not in (*_STAGED, *_BRANCHED):
        raise SettingsError(
            f"model.backbone.name: {name!r} has no stages whose blocks could move; a suggestion is "
            f"made for {', '.join((*_STAGED, *_BRANCHED))}"
        )
    network = _built({k: v for k, v in backbone.items() if k != "weights"})
    own = sum(block_operations(network, size).values())
    target = own if budget is None else budget
    if target > _MOST * own:
        raise SettingsError(
            f"budget {target / 1e9:.4g} G: is more than {_MOST} times what the backbone costs now, "
            f"{own / 1e9:.4g} G at {size[1]}x{size[0]}; lower it, or start from a wider one"
        )
    if name in _BRANCHED:
        if object_side is not None:
            raise SettingsError(
                f"object side {object_side:g}: which stages of an HRNet shrink does not depend on "
                "it; leave it out"
            )
        return _branched(backbone, size, target, tolerance)
    return _staged(backbone, network, size, target / own, target, tolerance, object_side)


def _staged(
    backbone: Mapping[str, Any],
    network: nn.Module,
    size: Size,
    growth: float,
    budget: int,
    tolerance: float,
    object_side: int | float | None,
) -> Suggestion:
    stages = [m for n, m in network.named_children() if n.startswith("layer")]
    depths = [len([*stage.children()]) for stage in stages]
    basic = any(isinstance(m, BasicBlock) for m in network.modules())
    if len(stages) < 2:
        raise SettingsError(
            f"model.backbone.strides: {len(stages)} stage is built of the backbone, so no blocks "
            "can move from one to another; choose strides with two or more stages"
        )
    found = _carried(backbone, "bottom_heavy", "blocks")
    found["block"] = "basic" if basic else "bottleneck"

    def build(blocks: tuple[int, ...]) -> BottomHeavyResNet:
        made = _built(found | {"blocks": blocks})
        assert isinstance(made, BottomHeavyResNet)
        return made

    operations, parameters = stage_costs(build, len(stages), size)
    # Of a budget of its own, depths are compared with the ordinary net's share of it.
    result = bottom_heavy_depths(
        operations,
        [depth * growth for depth in depths],
        budget,
        tolerance=tolerance,
        early=_early(len(stages), object_side),
    )

    def choice(c: Candidate) -> Choice:
        return Choice(c.depths, c.operations, c.deviation, parameters.of(c.depths))

    runners_up = tuple(map(choice, result.runners_up(_SHOWN)))
    chosen = choice(result.chosen)
    return Suggestion(found | {"blocks": list(chosen.blocks)}, budget, chosen, runners_up)


def _branched(backbone: Mapping[str, Any], size: Size, budget: int, tolerance: float) -> Suggestion:
    carried = _carried(backbone, "bottom_heavy_hrnet", "blocks")

    def settings(blocks: Sequence[Sequence[int]]) -> dict[str, Any]:
        return carried | {"blocks": [list(stage) for stage in blocks]}

    found = bottom_heavy_branches(backbone.get("width", 18), size, budget, tolerance)[: _SHOWN + 1]
    choices = []
    for one in found:
        parameters = sum(p.numel() for p in _built(settings(one.blocks)).parameters())
        choices.append(Choice(one.blocks, one.operations, one.deviation, parameters))
    return Suggestion(settings(found[0].blocks), budget, choices[0], tuple(choices[1:]))


def _carried(backbone: Mapping[str, Any], name: str, *apart: str) -> dict[str, Any]:
    """The options that another backbone takes over, but for defaults and those of weights."""
    known, _ = arguments(BACKBONES.load(name, "model.backbone.name"))
    options = {
        key: value
        for key, value in backbone.items()
        if key in known and key not in (*apart, *_OF_WEIGHTS) and value != known[key].default
    }
    return {"name": name, **options}


def _early(stages: int, object_side: int | float | None) -> int:
    if object_side is None:
        return min(2, stages - 1)
    seen = len([i for i in range(stages) if 4 * 2**i <= object_side / 2])
    return max(1, min(seen, stages - 1))


def _built(settings: Mapping[str, Any]) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = BACKBONES.build(settings, "model.backbone")
    return network
