"""The TinyPerson baselines' anchors, pyramids, heads and costs against stored numbers."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from golden_files import assert_near
from torch import Tensor, nn

from tinyscope.analysis.complexity import complexity
from tinyscope.analysis.fusion import best_anchors_per_level, fusion_factors
from tinyscope.detectors.build import build
from tinyscope.detectors.dense import DenseDetector
from tinyscope.matching import PRIORS
from tinyscope.matching.assign.center import CenterAssigner
from tinyscope.matching.coders import DistanceCoder
from tinyscope.matching.priors import Anchors, Points
from tinyscope.matching.sample.all import TakeAll
from tinyscope.nn.heads.fcos import FcosHead
from tinyscope.nn.necks.fpn import FPN
from tinyscope.settings import load_recipe
from tinyscope.types import BACKGROUND, DenseOutputs, Pyramid, Size, Target

CPU = torch.device("cpu")
STRIDES = (4, 8, 16, 32, 64)
RECIPES = {
    "faster_rcnn/config": "tinyperson/faster_rcnn_resnet50_imagenet",
    "adap_fcos/pytorch": "tinyperson/adap_fcos_resnet50_imagenet",
    "adap_fcos/config": "tinyperson/adap_fcos_caffe_resnet50_imagenet",
    "adap_retinanet/config": "tinyperson/adap_retinanet_resnet50_imagenet",
}
"""Which of our recipes is the counted one."""


def assert_anchors_equal(name: str, expected: Mapping[str, Any]) -> None:
    """Base anchors of every level, and those of the first level on a small map."""
    model = load_recipe(RECIPES[f"{name}/config"]).model
    options = (model.get("rpn") or model)["priors"]
    anchors: Anchors = PRIORS.build(options, "priors", strides=STRIDES)
    priors = anchors([(1, 1)] * len(STRIDES), CPU)
    base = torch.tensor(expected["base_anchors"])
    assert base.shape == (len(STRIDES), anchors.per_cell, 4)
    torch.testing.assert_close(priors.boxes, base.flatten(0, 1), rtol=0, atol=1e-5)
    for key, rows in expected.items():
        if grid := re.fullmatch(r"grid_(\d+)x(\d+)_level(\d+)", key):
            height, width, level = map(int, grid.groups())
            sizes = [(1, 1)] * len(STRIDES)
            sizes[level] = (height, width)
            priors = anchors(sizes, CPU)
            found = priors.boxes[priors.levels == level]
            torch.testing.assert_close(found, torch.tensor(rows), rtol=0, atol=2e-5)


def assert_statistic_equals(case: Mapping[str, Any]) -> None:
    """Anchors of the case from their sides and ratios, and the counts of its images."""
    sides = tuple(
        tuple(level) if isinstance(level, list) else (level,) for level in case["anchor_sizes"]
    )
    strides = tuple(case["strides"])
    anchors = Anchors(
        strides, sides=sides, ratios=tuple(case["ratios"]), whole_shapes=True, offset=0.5
    )
    # The reference counts the last pixel in: its boxes end one pixel before ours.
    base = torch.tensor([row for level in case["cell_anchors"] for row in level]) + _last_pixel()
    cells = anchors([(1, 1)] * len(strides), CPU).boxes
    torch.testing.assert_close(cells, base, rtol=0, atol=2e-5)
    height, width = case["image_hw"]
    priors = anchors([(height // s, width // s) for s in strides], CPU)
    counts = torch.zeros(len(strides), dtype=torch.int64)
    for step in case["steps"]:
        for rows in step["boxes"]:
            boxes = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4) + _last_pixel()
            counts += best_anchors_per_level(priors, boxes, len(strides))
        assert counts.tolist() == step["total_per_level"]
        assert_factors_equal(counts.tolist(), step["factors_45_34_23"])


def assert_factors_equal(counts: Sequence[float], coarse_to_fine: Sequence[float | str]) -> None:
    """Factors of counts; where the reference has none, ours are 1."""
    found = fusion_factors([int(n) for n in counts], len(coarse_to_fine) + 1)
    expected = [1.0 if f == "nan" else float(f) for f in reversed(coarse_to_fine)]
    assert list(found) == pytest.approx(expected, abs=1e-9)


def assert_fused_pyramid_equals(stored: Mapping[str, Tensor], fusion: Sequence[float]) -> None:
    """A pyramid with factors, fine to coarse."""
    inputs = [stored[key] for key in sorted(stored) if re.fullmatch(r"in\d+", key)]
    expected = [stored[key] for key in sorted(stored) if re.fullmatch(r"out\d+", key)]
    strides = [4 * 2**i for i in range(len(expected))]
    neck = FPN(
        [x.shape[1] for x in inputs],
        strides[: len(inputs)],
        channels=expected[0].shape[1],
        coarsest=strides[-1],
        fusion=tuple(fusion),
    )
    places = {"inner": "lateral", "layer": "smooth"}
    state = {}
    for key, value in stored.items():
        if found := re.fullmatch(r"w\.fpn_(inner|layer)(\d+)\.(\w+)", key):
            state[f"{places[found[1]]}.{int(found[2]) - 1}.0.{found[3]}"] = value
    neck.load_state_dict(state)
    for level, wanted in zip(neck(inputs).levels, expected, strict=True):
        assert_near(level, wanted, 1e-4)


class FcosCase:
    """The stored head, its matching and its detector."""

    def __init__(self, stored: Mapping[str, Tensor], said: Mapping[str, Any]) -> None:
        self.stored, self.said = stored, said
        settings = said["settings"]
        self.size: Size = (said["image_hw"][0], said["image_hw"][1])
        self.strides = tuple(settings["strides"])
        features = tuple(stored[f"feat{i}"] for i in range(len(self.strides)))
        self.pyramid = Pyramid(features, self.strides)
        self.priors = Points(self.strides)(self.pyramid.sizes, CPU)
        factor = settings["regress_ranges"][0][1] / self.strides[0]
        ends = [high for _, high in settings["regress_ranges"][:-1]]
        assert ends == [factor * s for s in self.strides[:-1]]
        depth = sum(bool(re.fullmatch(r"w\.cls_convs\.\d+\.conv\.weight", k)) for k in stored)
        classes = len(stored["w.conv_cls.bias"])
        head = FcosHead(
            features[0].shape[1],
            self.strides,
            classes,
            depth=depth,
            norm="none",
            box_bias=0.0,
            center_floor=0.0,
        )
        head.load_state_dict(_head_state(stored, len(self.strides)))
        self.head = head
        self.assigner = CenterAssigner(self.strides, radius=1.5, range_factor=factor, nearest=False)
        self.score_threshold, self.nms = settings["score_thr"], settings["nms_iou"]

    @property
    def images(self) -> int:
        return len(self.pyramid.levels[0])

    def target(self, image: int) -> Target:
        boxes = self.stored.get(f"gt{image}", torch.zeros(0, 4))
        labels = torch.zeros(len(boxes), dtype=torch.int64)
        return Target(boxes, labels, torch.zeros(len(boxes), dtype=torch.bool))

    def detector(self, candidates: int = 2000, limit: int = 1000) -> DenseDetector:
        return DenseDetector(
            nn.Identity(),
            nn.Identity(),
            self.head,
            Points(self.strides),
            self.assigner,
            TakeAll(),
            DistanceCoder(),
            score_threshold=self.score_threshold,
            candidates=candidates,
            rank="priors",
            nms=self.nms,
            limit=limit,
        )

    def by_image(self, name: str, level: int) -> Tensor:
        """A stored (images * points, ...) tensor of a level as (images, points, ...)."""
        rows = self.stored[f"{name}{level}"]
        return rows.reshape(self.images, -1, *rows.shape[1:])

    def assert_points_equal(self) -> None:
        for level in range(len(self.strides)):
            here = self.priors.centers[self.priors.levels == level]
            torch.testing.assert_close(here, self.stored[f"points{level}"], rtol=0, atol=0)

    def assert_targets_equal(self) -> None:
        positives = [0] * len(self.strides)
        for image in range(self.images):
            target = self.target(image)
            assigned = self.assigner(self.priors, target.boxes)
            positive = assigned >= 0
            assert bool((assigned[~positive] == BACKGROUND).all())
            deltas = torch.zeros(len(self.priors), 4)
            deltas[positive] = DistanceCoder().encode(
                self.priors[positive], target.boxes[assigned[positive]]
            )
            for level in range(len(self.strides)):
                here = self.priors.levels == level
                wanted = self.by_image("label", level)[image] == 0
                assert torch.equal(positive[here], wanted)
                expected = self.by_image("target", level)[image][wanted]
                torch.testing.assert_close(deltas[here][wanted], expected, rtol=1e-4, atol=1e-5)
                positives[level] += int(wanted.sum())
        assert positives == self.said["positives_per_level"]

    def assert_outputs_equal(self) -> None:
        outputs = self.head(self.pyramid)
        assert outputs.quality is not None
        parts = {
            "train.cls": outputs.logits,
            "train.reg": outputs.deltas.relu(),
            "train.ctr": outputs.quality[..., None],
            "eval.reg": outputs.deltas.relu() * self.priors.strides[:, None],
        }
        for name, rows in parts.items():
            for level in range(len(self.strides)):
                wanted = self.stored[f"{name}{level}"].flatten(2).transpose(1, 2)
                assert_near(rows[:, self.priors.levels == level], wanted, 1e-4)

    def losses(self, images: Sequence[int]) -> dict[str, Tensor]:
        outputs: DenseOutputs = self.head(self.pyramid)
        assert outputs.quality is not None
        rows = list(images)
        chosen = DenseOutputs(
            outputs.pyramid, outputs.logits[rows], outputs.deltas[rows], outputs.quality[rows]
        )
        targets = [self.target(i) for i in rows]
        return self.detector().loss(chosen, targets, [self.size] * len(rows))

    def assert_losses_equal(self) -> None:
        names = {"loss_cls": "classification", "loss_bbox": "box", "loss_centerness": "quality"}
        everything = self.losses(range(self.images))
        torch.autograd.backward(torch.stack(list(everything.values())).sum())
        for theirs, ours in names.items():
            expected = self.said["loss_both_images"][theirs]
            assert everything[ours].item() == pytest.approx(expected, rel=1e-4)
        empty = [i for i in range(self.images) if not len(self.target(i))]
        nothing = self.losses(empty)
        for theirs, ours in names.items():
            expected = self.said["loss_empty_image_only"][theirs]
            assert nothing[ours].item() == pytest.approx(expected, rel=1e-4, abs=1e-9)
            assert nothing[ours].requires_grad
        modules = {"cls": "classification", "reg": "box", "centerness": "quality"}
        for theirs, ours in modules.items():
            gradient = self.head.get_submodule(ours).weight.grad
            assert isinstance(gradient, Tensor)
            assert_near(gradient, self.stored[f"grad.conv_{theirs}.weight"], 1e-4)

    def assert_detections_equal(self) -> None:
        with torch.no_grad():
            outputs = self.head(self.pyramid)
        for key, expected in self.stored.items():
            name = re.fullmatch(r"dets\.(default|pre(\d+)_max(\d+))\.(\d+)", key)
            assert name or not key.startswith("dets."), f"a setting of an unknown form: {key}"
            if name:
                limits = (int(name[2]), int(name[3])) if name[2] else (2000, 1000)
                all_found = self.detector(*limits).decode(outputs, [self.size] * self.images)
                found = all_found[int(name[4])]
                assert_near(found.scores, expected[:, 4], 1e-4)
                assert_near(found.boxes, expected[:, :4], 1e-4)


def assert_costs_equal(name: str, expected: Mapping[str, Any], size: Size) -> None:
    """Operations by the published count, and parameters that learn, which are all it counts."""
    model = load_recipe(RECIPES[name], ["model.backbone.weights=null"]).model
    with torch.device("meta"):
        detector = build(model, 1)
    total = complexity(detector, size).together()
    assert total.published / 1e9 == pytest.approx(expected["gmacs"], abs=0.01)
    assert total.trainable == expected["trainable"] == expected["params"]


def _last_pixel() -> Tensor:
    return torch.tensor([0.0, 0.0, 1.0, 1.0])


def _head_state(stored: Mapping[str, Tensor], levels: int) -> dict[str, Tensor]:
    towers = {"cls_convs": "classification_tower", "reg_convs": "box_tower"}
    last = {"conv_cls": "classification", "conv_reg": "box", "conv_centerness": "quality"}
    state = {"scales": torch.cat([stored[f"w.scales.{i}.scale"] for i in range(levels)])}
    for key, value in stored.items():
        if found := re.fullmatch(r"w\.(cls_convs|reg_convs)\.(\d+)\.conv\.(\w+)", key):
            state[f"{towers[found[1]]}.convolutions.{found[2]}.{found[3]}"] = value
        elif found := re.fullmatch(r"w\.(conv_\w+)\.(weight|bias)", key):
            state[f"{last[found[1]]}.{found[2]}"] = value
    return state
