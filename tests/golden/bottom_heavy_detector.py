"""The SSPNet detector among the fixtures of bottom-heavy backbones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from golden_files import assert_near, filled, hashed
from sspnet_models import LAYOUT, as_maps, settings
from torch import Tensor

from tinyscope.detectors.build import build
from tinyscope.types import Pyramid

IMAGE = (1, 3, 64, 96)

Summary = Callable[[Tensor, Mapping[str, Any]], None]
"""Compares a tensor with a row of the summaries."""


@torch.no_grad()
def assert_detector_equals(
    stored: Mapping[str, Tensor], rows: Mapping[str, Sequence[Any]], assert_summary: Summary
) -> None:
    """What every part makes of the hashed image; regions are pooled from maps of deviation 1."""
    model: Any = build(settings("faster", "bh50"), 1)
    names = {ours: entry.names[0] for ours, entry in LAYOUT.keys(model).items()}
    model.load_state_dict(filled(model, renamed=names))
    model.eval()
    levels = model.backbone(2 * hashed("input", IMAGE).float())
    pyramid = model.neck(levels)
    proposed = model.rpn.head(pyramid)
    even = Pyramid(tuple(x / x.std() for x in pyramid.levels), pyramid.strides)
    pooled = model.roi.features(even, [stored["rois"][:, 1:]])
    logits, deltas = model.roi.head(pooled)
    found = {
        "backbone": levels,
        "neck": pyramid.levels,
        "att": pyramid.attention,
        "rpn_cls": as_maps(proposed.logits, pyramid.sizes),
        "rpn_reg": as_maps(proposed.deltas, pyramid.sizes),
        "roi_feat": [pooled],
        "cls_score": [logits],
        "bbox_pred": [deltas.flatten(1)],
    }
    for name, summaries in rows.items():
        for x, expected in zip(found[name], summaries, strict=True):
            assert_summary(x, expected)
    assert_near(
        found["roi_feat"][0].reshape(1, -1, *pooled.shape[2:])[:, :16], stored["roi_feat"], 1e-5
    )
    for name in ("cls_score", "bbox_pred"):
        assert_near(found[name][0], stored[name], 1e-5)
    for name in ("att", "neck", "rpn_cls", "rpn_reg"):
        for i, x in enumerate(found[name]):
            crop = x if name == "att" else x[:1, :8, :4, :4]
            largest = x.abs().max().item()
            torch.testing.assert_close(crop, stored[f"{name}{i}"], rtol=0, atol=1e-5 * largest)
