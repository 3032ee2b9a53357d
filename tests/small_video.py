"""Detectors of videos small enough for tests, and frames of something that moves."""

from typing import Any

import torch
from torch import Tensor, nn

BACKBONE = {"name": "resnet", "depth": 18, "width": 8, "strides": [4, 8, 16]}
DENSE = {
    "name": "dense",
    "backbone": BACKBONE,
    "neck": {"name": "fpn", "channels": 16},
    "head": {"name": "fcos", "depth": 1, "norm": "none"},
    "priors": {"name": "points"},
    "assigner": {"name": "center"},
    "sampler": {"name": "all"},
    "coder": {"name": "distance"},
    "score_threshold": 0.0,
    "limit": 20,
}
TWO_STAGE = {
    "name": "two_stage",
    "backbone": BACKBONE,
    "neck": {"name": "fpn", "channels": 16},
    "rpn": {
        "name": "proposals",
        "head": {"name": "rpn"},
        "priors": {"name": "anchors"},
        "assigner": {"name": "max_iou", "positive": 0.7, "negative": 0.3, "rescue": 0.3},
        "sampler": {"name": "random", "count": 64},
        "coder": {"name": "delta"},
        "train_after": 50,
        "test_after": 20,
    },
    "roi": {
        "name": "boxes",
        "head": {"name": "two_fc", "width": 32},
        "assigner": {"name": "max_iou", "positive": 0.5, "negative": 0.5, "rescue": None},
        "sampler": {"name": "random", "count": 64, "positive_fraction": 0.25},
        "coder": {"name": "delta", "stds": [0.1, 0.1, 0.2, 0.2]},
        "score_threshold": 0.0,
    },
}


def video_model(detector: dict[str, Any] = DENSE, **options: Any) -> dict[str, Any]:
    """Settings of a detector of videos around one of images."""
    return {
        "name": "video",
        "detector": detector,
        "motion": {"name": "flownet", "width": 4},
        "aggregator": {"name": "embedding"},
        **options,
    }


def with_motion(model: nn.Module) -> nn.Module:
    """The model with flow of some pixels: fresh nets say that nothing moves."""
    last = model.motion.predictors[-1]
    assert isinstance(last, nn.Conv2d)
    nn.init.normal_(last.weight, std=0.05)
    return model.eval()


def film(length: int, size: tuple[int, int] = (64, 96)) -> Tensor:
    """Frames (t, 3, h, w) uint8 of noise with a square that moves to the right."""
    random = torch.Generator().manual_seed(5)
    frames = torch.randint(0, 120, (length, 3, *size), dtype=torch.uint8, generator=random)
    for number, frame in enumerate(frames):
        frame[:, 20:32, 4 + 3 * number : 16 + 3 * number] = 240
    return frames
