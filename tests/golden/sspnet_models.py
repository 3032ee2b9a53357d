"""The detectors of SSPNet at full size, filled as their files say, against what these hold."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pytest
import torch
from manifests import assert_maps
from sspnet_attention import PAINTINGS
from torch import Tensor
from torch.nn import functional

from tinyscope.analysis.complexity import complexity
from tinyscope.analysis.operations import count_operations
from tinyscope.analysis.walk import Walk
from tinyscope.detectors.build import build
from tinyscope.detectors.published import LAYOUTS, fit, tensors_of
from tinyscope.nn.necks.attention_targets import Painting
from tinyscope.nn.necks.sspnet import WEIGHTS
from tinyscope.settings import load_recipe
from tinyscope.types import Size, Target

LAYOUT = LAYOUTS["mmdet"]
RECIPES = {
    "faster": "faster_rcnn",
    "cascade": "cascade_rcnn",
    "retina": "retinanet",
    "fovea": "fovea",
}
BACKBONES = {"r50": "resnet50", "bh50": "bh_resnet50"}
"""What our recipes call the detectors and the backbones of the files."""
EVERY = 10**6
"""What samplers take where nothing shall be random."""


def recipe(kind: str, backbone: str = "r50", neck: str = "sspnet") -> tuple[str, list[str]]:
    """Its name, and what is changed; with another neck for the detector beside it."""
    changes = ["model.backbone.weights=null"]
    if neck != "sspnet":
        changes.append(f"model.neck={{name: {neck}, coarsest: 64}}")
    return f"sspnet/{RECIPES[kind]}_{BACKBONES[backbone]}_imagenet", changes


def settings(kind: str, backbone: str = "r50", neck: str = "sspnet") -> dict[str, Any]:
    """The model of a recipe."""
    return load_recipe(*recipe(kind, backbone, neck)).model


def taking_all(part: Any) -> Any:
    """The part with samplers that leave nothing out."""
    if isinstance(part, list):
        return [taking_all(x) for x in part]
    if not isinstance(part, dict):
        return part
    changed = {key: taking_all(value) for key, value in part.items()}
    return changed | {"count": EVERY} if "positive_fraction" in part else changed


class StoredModel:
    """A detector with its stored weights, and the pictures and numbers of its file.

    Args:
        said: The JSON file.
    """

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.said = said
        model = taking_all(settings(said["kind"])) | {"mean": [0.0] * 3, "std": [1.0] * 3}
        self._override(model, said.get("test_overrides", {}))
        self.model: Any = build(model, 1)
        self.keys = LAYOUT.keys(self.model)
        self.ours = {name: ours for ours, e in self.keys.items() for name in e.names}
        self.fill()

    @property
    def size(self) -> Size:
        """Of the pictures."""
        height, width = self.said["image_hw"]
        return height, width

    def _override(self, model: dict[str, Any], changes: Mapping[str, Any]) -> None:
        for name, value in changes.items():
            if name == "rpn.max_per_img":
                model["rpn"] = {**model["rpn"], "test_after": value}
            else:
                assert name == "nms_pre", f"an unknown override: {name}"
                model["candidates"] = value

    def fill(self) -> None:
        """Gives the model its stored weights and statistics, after a training step again."""
        theirs = tensors_of(self.model.state_dict(), self.keys)
        generator = torch.Generator().manual_seed(self.said["seed"])
        values = {
            name: _drawn(name, theirs[name], generator)
            for name in sorted(theirs)
            if theirs[name].is_floating_point()
        }
        found = fit(values, self.keys, LAYOUT.renamed)
        missing, _ = self.model.load_state_dict(found.values, strict=False)
        assert all(name.endswith("num_batches_tracked") for name in missing)
        self.model.eval().zero_grad(set_to_none=True)

    @cached_property
    def images(self) -> Tensor:
        """(b, 3, h, w), normalized; one for each list of boxes."""
        height, width = self.size
        count = len(self.said["gts"])
        generator = torch.Generator().manual_seed(self.said["image_seed"])
        coarse = torch.rand(count, 3, height // 8, width // 8, generator=generator)
        smooth = functional.interpolate(coarse, self.size, mode="bilinear", align_corners=False)
        return (smooth + 0.3 * torch.rand(count, 3, *self.size, generator=generator) - 0.65) * 4

    @property
    def targets(self) -> list[Target]:
        """Of the images."""
        boxes = [torch.tensor(rows).reshape(-1, 4) for rows in self.said["gts"]]
        return [
            Target(b, torch.zeros(len(b), dtype=torch.int64), torch.zeros(len(b), dtype=torch.bool))
            for b in boxes
        ]

    @property
    def tile(self) -> Size:
        """Of the first image what is no padding where detections are stored."""
        height, width = self.said["aug"]["img_shape"][0]
        return height, width

    @property
    def scale(self) -> float:
        """How much larger the first look is than the tile."""
        return float(self.said["aug"]["scales"][0])

    def assert_filled(self) -> None:
        """Weights and pictures are those of the recipe."""
        theirs = tensors_of(self.model.state_dict(), self.keys)
        for name, expected in self.said["checksum"].items():
            assert theirs[name].flatten()[:3].tolist() == pytest.approx(expected["first"], rel=1e-6)
            assert theirs[name].double().sum().item() == pytest.approx(expected["sum"], abs=1e-4)
        assert sum(p.numel() for p in self.model.parameters()) == self.said["n_params"]
        frozen = [self._theirs(n) for n, p in self.model.named_parameters() if not p.requires_grad]
        assert sorted(frozen) == self.said["frozen_params"]
        assert len(frozen) == self.said["n_frozen"]
        assert_statistics(self.images, self.said["image"])

    def _theirs(self, name: str) -> str:
        return self.keys[name].names[0]

    @torch.no_grad()
    def assert_maps_equal(self) -> None:
        """What every part makes of the pictures."""
        levels = self.model.backbone(self.images)
        pyramid = self.model.neck(levels)
        head = self.model.rpn.head if hasattr(self.model, "rpn") else self.model.head
        outputs = head(pyramid)
        logits, deltas = (as_maps(x, pyramid.sizes) for x in (outputs.logits, outputs.deltas))
        found = {
            "backbone": levels,
            "neck": pyramid.levels,
            "att": pyramid.attention,
            **dict.fromkeys(("rpn_cls", "head_cls"), logits),
            **dict.fromkeys(("rpn_reg", "head_reg"), deltas),
        }
        compared = found.keys() & self.said.keys()
        assert {"backbone", "neck", "att"} <= compared, f"maps of {sorted(compared)} alone"
        assert compared & {"rpn_cls", "head_cls"}, "no maps of a head"
        for name in compared:
            for ours, expected in zip(found[name], self.said[name], strict=True):
                assert_statistics(ours, expected)

    def assert_losses_equal(self) -> None:
        """Losses of one step with each supervision, and gradients with hard maps."""
        names = {
            "loss_reg": "attention",
            "loss_seg": "attention_dice",
            "loss_rpn_cls": "objectness",
            "loss_rpn_bbox": "proposal_box",
            "loss_cls": "classification",
            "loss_bbox": "box",
            **{f"s{i}.loss_cls": f"classification_{i + 1}" for i in range(9)},
            **{f"s{i}.loss_bbox": f"box_{i + 1}" for i in range(9)},
        }
        assert self.said["loss"], "no losses to compare with"
        self.model.train()
        outputs = self.model(self.images)
        losses = self.model.loss(outputs, self.targets, [self.size] * len(self.images))
        pyramid = getattr(outputs, "proposals", outputs).pyramid
        own = self.model.neck.target
        for variant, stored in self.said["loss"].items():
            self._paint(PAINTINGS[variant])
            losses |= self.model.neck.loss(pyramid, self.targets)
            expected = {k: v for k, v in stored["_parsed"].items() if "acc" not in k}
            total = torch.stack(list(losses.values())).sum()
            assert total.item() == pytest.approx(expected.pop("loss"), rel=1e-4)
            assert {names[k] for k in expected} == losses.keys()
            for name, value in expected.items():
                assert losses[names[name]].item() == pytest.approx(value, rel=1e-4), name
            if variant == "hard":
                self._assert_gradients_equal(total)
        self._paint(own)
        self.fill()

    def _paint(self, target: Painting) -> None:
        """Supervises attention by other maps, with their weight."""
        self.model.neck.target, self.model.neck.weight = target, WEIGHTS[target]

    def _assert_gradients_equal(self, total: Tensor) -> None:
        total.backward(retain_graph=True)  # other supervisions share what comes before them
        parameters = dict(self.model.named_parameters())
        assert self.said["grad_norm"], "no gradients to compare with"
        for name, norm in self.said["grad_norm"].items():
            gradient = parameters[self.ours[name]].grad
            assert gradient.norm().item() == pytest.approx(norm, rel=1e-4), name

    @torch.no_grad()
    def assert_detections_equal(self, stored: Mapping[str, Tensor]) -> None:
        """Proposals and detections of the first picture; boxes in the tile's own pixels."""
        outputs = self.model(self.images[:1])
        if "proposals" in stored:
            rpn = self.model.rpn
            proposals = rpn.propose(outputs.proposals, [self.tile], rpn.test_limits)[0]
            assert_same_boxes(proposals.boxes, proposals.scores, stored["proposals"])
        found = self.model.decode(outputs, [self.tile])[0]
        assert_same_boxes(found.boxes / self.scale, found.scores, stored["det_single"])


def assert_same_boxes(
    boxes: Tensor, scores: Tensor, expected: Tensor, pixels: float = 5e-3
) -> None:
    """Every box has its stored counterpart so near, within 1e-4 of its score, in any order."""
    assert len(boxes) == len(expected)
    assert len(expected), "no boxes to compare with"
    off = (boxes[:, None] - expected[:, :4]).abs().amax(dim=-1) / pixels
    off = off.maximum((scores[:, None] - expected[:, 4]).abs() / 1e-4)
    for dim in (0, 1):
        assert (off.amin(dim=dim) <= 1).all(), f"off by {off.amin(dim=dim).max():.3g} tolerances"


def assert_statistics(found: Tensor, expected: Mapping[str, Any]) -> None:
    """Shape, mean, deviation, largest value, and some values."""
    assert list(found.shape) == expected["shape"]
    x = found.flatten().double()
    largest = expected["absmax"]
    assert x.mean().item() == pytest.approx(expected["mean"], abs=1e-5 * largest)
    assert x.std().item() == pytest.approx(expected["std"], rel=1e-4)
    assert x.abs().max().item() == pytest.approx(largest, rel=1e-4)
    samples = torch.linspace(0, x.numel() - 1, len(expected["samples"])).long()
    assert x[samples].tolist() == pytest.approx(expected["samples"], abs=1e-4 * largest)


def assert_names_and_shapes(file: str, manifest: Mapping[str, Sequence[int]]) -> None:
    """Every tensor of a published file has its place and shape on both sides, and comes back."""
    found = re.fullmatch(r"manifest_([a-z]+)_(r50|bh50)_([a-z]+)\.json", file)
    assert found, f"a manifest of an unknown model: {file}"
    assert_maps(manifest, *recipe(*found.groups()))


COMPONENTS = {"rpn_head": "rpn", "roi_head": "roi", "bbox_head": "head"}
NECK_PARTS = {
    "lateral_convs": r"neck\.lateral\..*",
    "fpn_convs": r"neck\.smooth\..*",
    "CAM": r"neck\.context(\..*)?",
    # The context's own ReLU follows the norm.
    "CAM.dila_conv": r"neck\.context(\.(join|views|blend|norm)(\..*)?)?",
    "CAM.down_conv": r"neck\.context\.down\..*",
    "CAM.att_conv": r"neck\.context\.attend\..*",
}
"""Published parts of the neck, and the modules that are theirs here."""


def assert_costs_equal(name: str, expected: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    """Operations of a model and of its parts by the published count, and what of it learns."""
    found = re.match(r"(faster|cascade|retina|fovea)[a-z]*_(?:rcnn_)?(r50|bh50)_(sspnet|fpn)", name)
    assert found, f"the cost of an unknown model: {name}"
    _, height, width = said["input"]
    with torch.device("meta"):
        model = build(settings(*found.groups()), 1)
    counted = complexity(model, (height, width), rois=said["roi_proposals_counted"])
    total = counted.together()
    assert total.published / 1e9 == pytest.approx(expected["total"], rel=1e-6)
    assert total.trainable / 1e6 == pytest.approx(expected["params"], abs=1e-6)
    if expected["reported"] is not None:
        assert round(total.published / 1e9, 2) == expected["reported"]
    for part in expected.keys() - {"total", "reported", "params"}:
        ours = counted.together(COMPONENTS.get(part, part)).published
        assert ours / 1e9 == pytest.approx(expected[part], abs=1e-3), part


def assert_neck_costs_equal(expected: Mapping[str, float], said: Mapping[str, Any]) -> None:
    """Operations of the parts of the neck."""
    _, height, width = said["input"]
    with torch.device("meta"):
        walk = Walk(build(settings("faster"), 1), regions=said["roi_proposals_counted"])
    counted = count_operations(
        walk, lambda n: walk(torch.empty(n, 3, height, width, device="meta"))
    )
    for part, billions in expected.items():
        found = [
            sum(kinds.values())
            for path, kinds in counted.published.items()
            if re.fullmatch(NECK_PARTS[part], path)
        ]
        assert sum(found) / 1e9 == pytest.approx(billions, abs=1e-3), part


def _drawn(name: str, old: Tensor, generator: torch.Generator) -> Tensor:
    """A tensor of the recipe, by its published name."""
    u = 2 * torch.rand(old.shape, generator=generator) - 1
    owner, kind = name.split(".")[-2:]
    if old.ndim >= 2:
        factor = {
            **dict.fromkeys(("rpn_cls", "retina_cls", "conv_cls"), 0.1),
            **dict.fromkeys(("rpn_reg", "retina_reg", "conv_reg"), 0.05),
            **dict.fromkeys(("fc_cls", "fc_reg"), 0.2),
        }.get(owner, 1.0)
        return u * factor * math.sqrt(3 / math.prod(old.shape[1:]))
    if kind == "running_var":
        return 1 + 0.5 * u
    if kind == "running_mean":
        return 0.1 * u
    return 1 + 0.2 * u if kind == "weight" else 0.05 * u


def as_maps(rows: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
    """Rows (b, p, n) of all priors as maps (b, a * n, h_i, w_i), one of each level."""
    per_cell = rows.shape[1] // sum(h * w for h, w in sizes)
    levels = torch.split(rows, [h * w * per_cell for h, w in sizes], dim=1)
    return [
        x.reshape(len(x), h, w, -1).permute(0, 3, 1, 2)
        for x, (h, w) in zip(levels, sizes, strict=True)
    ]
