"""Which convolutions a ResNet is made of: plain ones, or those of DetectoRS.

Qiao, Chen and Yuille 2020, arXiv:2006.02334.
"""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from tinyscope.nn.blocks import Bottleneck
from tinyscope.nn.standardized import StandardizedConvolution
from tinyscope.nn.switchable import SwitchableConvolution

Convolution = Literal["plain", "standardized", "switchable", "switchable_deformable"]
"""Kind of a network's convolutions; the published DetectoRS has the last."""


def change_convolutions(network: nn.Module, stages: Sequence[nn.Module], kind: Convolution) -> None:
    """Puts convolutions of another kind, with the weights of the plain ones, in their place.

    All become standardized, and in switchable networks the 3x3 ones of the bottlenecks switchable,
    but for those of the first stage.

    Args:
        network: Of plain convolutions without bias.
        stages: Of bottlenecks, in it.
        kind: Of the convolutions it is to have.
    """
    if kind == "plain":
        return
    for owner in list(network.modules()):
        for name, module in list(owner.named_children()):
            if type(module) is nn.Conv2d:
                setattr(owner, name, _standardized(module))
    if kind == "standardized":
        return
    for stage in stages[1:]:
        for block in stage.children():
            assert isinstance(block, Bottleneck)
            block.conv2 = _switchable(block.conv2, deformable=kind == "switchable_deformable")


def beyond_plain(network: nn.Module) -> tuple[str, ...]:
    """Names of the tensors that the same network of plain convolutions does not have."""
    return tuple(
        f"{path}.{name}"
        for path, module in network.named_modules()
        if isinstance(module, StandardizedConvolution)
        for name in module.state_dict()
        if name != "weight"
    )


def _standardized(plain: nn.Conv2d) -> StandardizedConvolution:
    size, stride, padding = plain.kernel_size[0], plain.stride[0], plain.padding[0]
    assert isinstance(padding, int)
    assert (plain.groups, plain.dilation) == (1, (1, 1)), f"groups or dilation lost of {plain}"
    made = StandardizedConvolution(plain.in_channels, plain.out_channels, size, stride, padding)
    made.weight = plain.weight
    return made


def _switchable(plain: nn.Conv2d, *, deformable: bool) -> SwitchableConvolution:
    made = SwitchableConvolution(
        plain.in_channels, plain.out_channels, plain.stride[0], deformable=deformable
    )
    made.weight = plain.weight
    return made
