"""The whole published detector of videos, filled with numbers, on the frames of a file."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from video_detector import VIDEO
from video_fill import filled

from tinyscope.detectors.build import build
from tinyscope.detectors.published import LAYOUTS, fit
from tinyscope.detectors.video import VideoDetector
from tinyscope.nn.heads.tower import rows
from tinyscope.tiling.frames import SlidingWindow
from tinyscope.types import Pyramid

RADIUS = 2
"""Frames on either side, as the README says."""
_GAIN_OF_FLOW = 2.0
_PREFIX = "motion."


def network(manifest: Mapping[str, Sequence[int]]) -> VideoDetector:
    """The detector of the manifest's classes, weights by the README's rule."""
    classes = manifest["detector.roi_head.bbox_head.fc_reg.bias"][0] // 4
    model = build(VIDEO, classes).eval()
    assert isinstance(model, VideoDetector)
    flow = {k.removeprefix(_PREFIX): v for k, v in manifest.items() if k.startswith(_PREFIX)}
    tensors = filled({k: v for k, v in manifest.items() if not k.startswith(_PREFIX)})
    tensors |= {_PREFIX + k: v for k, v in filled(flow, _GAIN_OF_FLOW).items()}
    layout = LAYOUTS["mmtracking"]
    model.load_state_dict(fit(tensors, layout.keys(model), layout.renamed).values)
    return model


def shown(stored: Mapping[str, Tensor], model: VideoDetector) -> Tensor:
    """Frames (t, 3, h, w), 0 to 255, that are 0 beyond their size once they are normalized."""
    height, width = stored["img_hw"].tolist()
    images = stored["images_u8"].permute(0, 3, 1, 2).float()
    mean = model.detector.normalize.mean
    images[:, :, height:], images[..., width:] = mean, mean
    return images


@torch.no_grad()
def assert_network_equal(
    stored: Mapping[str, Tensor], manifest: Mapping[str, Sequence[int]]
) -> None:
    """Maps, flow, what is gathered of every frame, and what the heads make of the first."""
    model = network(manifest)
    images = shown(stored, model)
    height, width = stored["img_hw"].tolist()
    length, rule = len(images), SlidingWindow(RADIUS)

    (deepest,) = model.detector.backbone(model.detector.normalize(images[:1]))
    _close(deepest[0, : len(stored["c5_frame0_first64"])], stored["c5_frame0_first64"])
    _close(deepest[0].mean(dim=0), stored["c5_frame0_mean_over_channels"])
    seen = [model.see(frame[None], [(height, width)]) for frame in images]
    _close(seen[0].pyramid.levels[0][0], stored["neck_frame0"])

    expected = stored["flow_last_call_first2"]
    partners = rule(length - 1, length).frames[: len(expected)]
    prepared = torch.cat([seen[number].prepared for number in partners])
    keys = seen[-1].prepared.expand(len(expected), -1, -1, -1)
    _close(model.motion(keys, prepared), expected)

    outputs = []
    for key in range(length):
        window = rule(key, length)
        others = [seen[number] for number in window.frames]
        outputs.append(model.judge(seen[key], others, window.slot))
    gathered = [one.pyramid.levels[0] for one in outputs]
    _close(torch.cat(gathered), stored["agg"])
    first = outputs[0].proposals
    _close(first.logits, rows([stored["rpn_cls_frame0"][None]], 1))
    _close(first.deltas, rows([stored["rpn_reg_frame0"][None]], 4))
    roi, pyramid = model.detector.roi, Pyramid((gathered[0],), outputs[0].pyramid.strides)
    boxes = [stored["rois"][:, 1:]]
    pooled, part = roi.features(pyramid, boxes), stored["roi_feats_first16"]
    _close(pooled[:, : part.shape[1]], part)
    logits, deltas = roi(pyramid, boxes)
    _close(logits, stored["cls_score"])
    _close(deltas.flatten(1), stored["bbox_pred"])


def _close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
