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
    if "style='caffe'" in text and any(isinstance(m, Bottleneck) for m in detector.modules()):
        found.append(
            "style='caffe': the stride stands in the first 1x1 convolution of a block, ours in the "
            "3x3; the same tensors would give other values"
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
