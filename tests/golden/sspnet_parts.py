"""Priors of SSPNet's detectors, and what is special about its Fovea, against stored numbers."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from sspnet_attention import levels
from sspnet_models import assert_same_boxes, settings
from torch import Tensor

from tinyscope.detectors.build import build
from tinyscope.matching import PRIORS
from tinyscope.nn.heads.tower import rows
from tinyscope.types import BACKGROUND, DenseOutputs, Pyramid, Size, Target

CPU = torch.device("cpu")
KINDS = {"rpn": "faster", "retina": "retina", "fovea": "fovea"}
"""Detectors whose priors the files name."""


def assert_priors_equal(stored: Mapping[str, Tensor], said: Mapping[str, str]) -> None:
    """Anchors about the origin, on a small grid, and points."""
    sizes = [(h, w) for h, w in json.loads(said["feature_sizes"].translate(_AS_LISTS))]
    strides = strides_of(len(sizes))
    one = [(1, 1)] * len(sizes)
    assert stored, "no priors to compare with"
    for name, expected in stored.items():
        found = re.fullmatch(r"(rpn|retina|fovea)\.(base|grid|points)(\d)", name)
        assert found, f"priors of an unknown kind: {name}"
        model = settings(KINDS[found[1]])
        maker = PRIORS.build((model.get("rpn") or model)["priors"], "priors", strides=strides)
        priors = maker(one if found[2] == "base" else sizes, CPU)
        here = priors[(priors.levels == int(found[3])).nonzero()[:, 0]]
        ours = here.centers if found[2] == "points" else here.boxes
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def strides_of(count: int) -> tuple[int, ...]:
    """Of so many levels, the finest of stride 4."""
    return tuple(4 * 2**i for i in range(count))


class FoveaCase:
    """Stored raw outputs of two images under the detector of the recipe.

    Args:
        stored: The file.
        said: Its metadata.
    """

    def __init__(self, stored: Mapping[str, Tensor], said: Mapping[str, str]) -> None:
        self.stored, self.said = stored, said
        logits, deltas = levels(stored, "cls"), levels(stored, "reg")
        self.strides = strides_of(len(logits))
        self.classes, self.images = logits[0].shape[1], len(logits[0])
        self.outputs = DenseOutputs(
            Pyramid(tuple(logits), self.strides), rows(logits, self.classes), rows(deltas, 4)
        )
        kind, decay, _, nms, _, floor = said["nms"].split()
        assert kind == "soft_nms"
        self.detector: Any = build(
            settings("fovea")
            | {"backbone": {"name": "resnet", "depth": 18, "width": 8}}
            | {"neck": {"name": "fpn", "channels": 4, "coarsest": self.strides[-1]}}
            | {"candidates": int(said["nms_pre"]), "score_threshold": float(said["score_thr"])}
            | {"limit": int(said["max_per_img"]), "decay": decay}
            | {"nms": float(nms), "decay_floor": float(floor)},
            self.classes,
        )
        self.priors = self.detector.priors(self.outputs.pyramid.sizes, CPU)

    def target(self, image: int) -> Target:
        boxes = self.stored[f"boxes{image}"]
        labels = torch.zeros(len(boxes), dtype=torch.int64)
        return Target(boxes, labels, torch.zeros(len(boxes), dtype=torch.bool))

    def assert_targets_equal(self) -> None:
        """Which points are positive, and the deltas that they are to have."""
        for image in range(self.images):
            boxes = self.target(image).boxes
            assigned = self.detector.assigner(self.priors, boxes)
            positive = assigned >= 0
            assert bool((assigned[~positive] == BACKGROUND).all())
            deltas = self.detector.coder.encode(self.priors, boxes[assigned.clamp(min=0)])
            for level in range(len(self.strides)):
                here = self.priors.levels == level
                labels = self.stored[f"labels{image}.lvl{level}"].flatten()
                wanted = labels < self.classes
                assert torch.equal(positive[here], wanted)
                expected = self.stored[f"regt{image}.lvl{level}"].flatten(0, 1)
                torch.testing.assert_close(
                    deltas[here][wanted], expected[wanted], rtol=0, atol=1e-5
                )

    def assert_losses_equal(self) -> None:
        """Of the two images, and of as many without objects."""
        sizes = [self._size("image_hw")] * self.images
        cases = {
            "": [self.target(i) for i in range(self.images)],
            "empty.": [Target.empty()] * self.images,
        }
        for prefix, targets in cases.items():
            losses = self.detector.loss(self.outputs, targets, sizes)
            for theirs, ours in (("loss_cls", "classification"), ("loss_bbox", "box")):
                expected = self.stored[f"{prefix}{theirs}"].item()
                assert losses[ours].item() == pytest.approx(expected, rel=1e-5, abs=1e-9)

    def assert_detections_equal(self) -> None:
        """Boxes in the pixels of the images before they were enlarged."""
        all_found = self.detector.decode(self.outputs, [self._size("img_shape")] * self.images)
        scale = float(self.said["scale_factor"])
        for image, found in enumerate(all_found):
            expected = self.stored[f"det{image}"]
            assert_same_boxes(found.boxes / scale, found.scores, expected, pixels=1e-3)

    def _size(self, name: str) -> Size:
        height, width = json.loads(self.said[name].translate(_AS_LISTS))
        return height, width


_AS_LISTS = str.maketrans("()", "[]")
