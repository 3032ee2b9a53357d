"""Pixel values."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def to_bytes(values: Float[Tensor, "3 h w"]) -> UInt8[Tensor, "3 h w"]:
    """Values rounded and clamped to 0..255."""
    rounded = values.round().clamp_(0, 255)
    return torch.from_numpy(rounded.numpy().astype(np.uint8))  # 7 times as fast as torch's cast


def through_table(
    image: UInt8[Tensor, "3 h w"], table: UInt8[Tensor, "256"]
) -> UInt8[Tensor, "3 h w"]:
    """Every value replaced by what the table holds at its place."""
    # bytes.translate is the fastest table there is; torch would widen every pixel to an index.
    looked_up = bytearray(image.contiguous().numpy().data).translate(table.numpy().tobytes())
    return torch.frombuffer(looked_up, dtype=torch.uint8).reshape(image.shape)
