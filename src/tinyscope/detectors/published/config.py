"""What an mmdet file says of its own network that names and shapes of tensors do not show."""

import re

from torch import nn

from tinyscope.nn.blocks import Bottleneck
from tinyscope.nn.heads.fcos import FcosHead


def contradictions(config: str, detector: nn.Module, *, blue_first: bool) -> list[str]:
    """In what the network that a config describes computes otherwise than ours, if in anything.

    Args:
        config: The text that the framework keeps in its checkpoints.
        detector: That the weights are meant for.
        blue_first: Whether the order of colors is being changed already.
    """
    text = re.sub(r"\s+", "", config)
    found = []
    caffe = "style='caffe'" in text
    if (caffe or "style='pytorch'" in text) and _stride_first(detector) is (not caffe):
        theirs, ours = ("first 1x1", "3x3") if caffe else ("3x3", "first 1x1")
        found.append(
            f"style='{'caffe' if caffe else 'pytorch'}': the stride stands in the {theirs} "
            f"convolution of a block, ours in the {ours}; the same tensors would give other "
            f"values; set model.backbone.stride_first={str(caffe).lower()}"
        )
    # Whole words: necks of atrous convolutions have `aspp_dilations`.
    theirs_dilated = re.search(r"\bdilations=[(\[]1(?:,1)*,[2-9]", text) is not None
    if "backbone=dict(" in text and _dilated(detector) is not theirs_dilated:
        found.append(
            f"dilations: the last stages of its backbone are {'' if theirs_dilated else 'not '}"
            "dilated, other than ours; the same tensors would give other values; set "
            "model.backbone.dilations (of a video detector, model.detector.backbone.dilations)"
        )
    if "to_rgb=False" in text and not blue_first:
        found.append(
            "to_rgb=False: the network takes blue, green, red; import it with blue_first "
            "(--blue-first), and give model.mean and model.std in the order red, green, blue"
        )
    if any(isinstance(m, FcosHead) for m in detector.modules()):
        if "centerness_on_reg=True" not in text:
            found.append(
                "centerness_on_reg is not True: its quality comes from the tower of the classes, "
                "ours from that of the boxes"
            )
        if "norm_on_bbox=True" not in text:
            found.append(
                "norm_on_bbox is not True: its distances are exponentials in pixels, ours are in "
                "strides"
            )
    return found


def _dilated(detector: nn.Module) -> bool:
    """Whether any bottleneck is; necks have dilated convolutions of their own."""
    return any(
        block.conv2.dilation != (1, 1)
        for block in detector.modules()
        if isinstance(block, Bottleneck) and isinstance(block.conv2, nn.Conv2d)
    )


def _stride_first(detector: nn.Module) -> bool | None:
    """Whether bottlenecks halve maps in their first convolution; None where none does."""
    for block in detector.modules():
        if isinstance(block, Bottleneck) and (2, 2) in (block.conv1.stride, block.conv2.stride):
            return block.conv1.stride == (2, 2)
    return None
