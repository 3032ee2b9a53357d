"""The hosts of receptive-field assignment against the reference: heads, whole detectors, names."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
import torch
from golden_files import assert_near
from rfla_files import numbered, target
from sspnet_models import as_maps, assert_same_boxes
from torch import Tensor, nn

from tinyscope.detectors.build import build
from tinyscope.detectors.dense import DenseDetector
from tinyscope.detectors.proposals import ProposalLimits, ProposalStage
from tinyscope.detectors.published import LAYOUTS, fit, tensors_of
from tinyscope.detectors.published.mmdet import _keys as part_keys
from tinyscope.matching.assign.hierarchical import HierarchicalAssigner
from tinyscope.matching.coders import DeltaCoder, DistanceCoder
from tinyscope.matching.fields import ReceptiveFields
from tinyscope.matching.sample.all import TakeAll
from tinyscope.nn.backbones.staged import StagedNetwork
from tinyscope.nn.blocks import Kernel
from tinyscope.nn.heads.fcos import FcosHead
from tinyscope.nn.heads.retina import RetinaHead
from tinyscope.nn.heads.rpn import RpnHead
from tinyscope.settings import load_recipe
from tinyscope.types import DenseOutputs, Detections, Pyramid, Size

LAYOUT = LAYOUTS["mmdet"]
RATIOS = (0.5, 1.0, 2.0)
SEEN, SCALE = (122, 86), 1.25
"""Of the pictures of whole detectors what is no padding, which is noise as well, and how much they
were enlarged. Both stand in the fixtures' README alone."""


class Anchored:
    """A file of a head with three priors per cell, two images and what these show.

    `padding` is what each image's own sides were padded to multiples of.
    """

    def __init__(self, stored: Mapping[str, Tensor], said: Mapping[str, Any]) -> None:
        self.stored = stored
        metas = said["image_metas"]
        self.sizes: list[Size] = [(m["img_shape"][0], m["img_shape"][1]) for m in metas]
        whole = max(m["pad_shape"][0] for m in metas)
        self.levels = [x.clone().requires_grad_() for x in numbered(stored, "in.feat")]
        self.strides = tuple(whole // x.shape[-2] for x in self.levels)
        self.pyramid = Pyramid(tuple(self.levels), self.strides)
        self.priors = ReceptiveFields(
            self.strides, receptive_fields="published", ratios=RATIOS, offset=0.0
        )
        boxes = list(numbered(stored, "in.gt"))
        labelled = "in.label0" in stored
        labels = list(numbered(stored, "in.label")) if labelled else [None] * len(boxes)
        self.targets = [target(b, k) for b, k in zip(boxes, labels, strict=True)]
        self.padding = next(
            n
            for n in (32, 16, 8, 4, 2, 1)
            if all(
                [-(-side // n) * n for side in size] == m["pad_shape"][:2]
                for size, m in zip(self.sizes, metas, strict=True)
            )
        )

    def assert_outputs_equal(self, outputs: DenseOutputs) -> None:
        for rows, name in ((outputs.logits, "cls"), (outputs.deltas, "reg")):
            for i, level in enumerate(as_maps(rows, self.pyramid.sizes)):
                assert_near(level, self.stored[f"out.{name}{i}"], 1e-4)


def assert_proposals_equal(stored: Mapping[str, Tensor], said: Mapping[str, Any]) -> None:
    """Losses, their gradients at the pyramid, and proposals with wide and with narrow limits."""
    tags = [key for key in said if key != "image_metas"]
    assert tags, "no settings to compare"
    for tag in tags:
        case = Anchored(stored, said)
        stage = _proposal_stage(tag, case)
        outputs = stage(case.pyramid)
        case.assert_outputs_equal(outputs)
        losses = stage.loss(outputs, case.targets, case.sizes)
        for ours, theirs in (("objectness", "loss_rpn_cls"), ("proposal_box", "loss_rpn_bbox")):
            assert losses[ours].item() == pytest.approx(sum(said[tag][theirs]), rel=1e-5), tag
        total = sum(losses.values(), torch.zeros(()))
        assert total.item() == pytest.approx(said[tag]["sum"], rel=1e-5)
        total.backward()
        for level, norm in zip(case.levels, said[tag]["grad_feat_norms"], strict=True):
            assert level.grad is not None
            assert level.grad.norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-9), tag
    for name, limits in (("proposals", (3000, 3000)), ("proposals_small", (50, 40))):
        proposed = stage.propose(outputs, case.sizes, ProposalLimits(*limits))
        for found, expected in zip(proposed, numbered(stored, f"out.{name}"), strict=True):
            assert_same_boxes(found.boxes, found.scores, expected, pixels=1e-3)


def _proposal_stage(tag: str, case: Anchored) -> ProposalStage:
    bordered = tag.startswith("cascade")
    channels = case.levels[0].shape[1]
    head = RpnHead(channels, len(RATIOS), box_loss="smooth_l1" if bordered else "l1", count_floor=1)
    stage = ProposalStage(
        head,
        case.priors,
        HierarchicalAssigner(
            ignore=0.8, distance="wasserstein" if "wd" in tag else "kullback_leibler"
        ),
        TakeAll(),
        DeltaCoder(encoding_shrink=0.9),
        overhang=0.0 if bordered else None,
        own_padding=case.padding,
        keep_empty=True,
        ignore_threshold=1.0,
    )
    _fill(stage, case.stored, "rpn_head")
    return stage


def assert_retina_equals(stored: Mapping[str, Tensor], said: Mapping[str, Any]) -> None:
    """Losses of the head with DIoU, and its best detections."""
    case = Anchored(stored, said)
    classes = len(stored["w.retina_cls.bias"]) // len(RATIOS)
    head = RetinaHead(
        case.levels[0].shape[1],
        case.strides,
        classes,
        len(RATIOS),
        depth=_count(stored, r"w\.cls_convs\.\d+\.conv\.weight"),
        box_loss="diou",
        count_floor=1,
    )
    detector = _dense(
        head, case.priors, HierarchicalAssigner(ignore=0.8), DeltaCoder(), case.padding
    )
    _fill(detector, stored, "bbox_head")
    outputs = head(case.pyramid)
    case.assert_outputs_equal(outputs)
    losses = detector.loss(outputs, case.targets, case.sizes)
    for ours, theirs in (("classification", "loss_cls"), ("box", "loss_bbox")):
        assert losses[ours].item() == pytest.approx(sum(said[theirs]), rel=1e-4)
    boxes, labels = numbered(stored, "out.det"), numbered(stored, "out.det_label")
    for found, rows, theirs in zip(
        detector.decode(outputs, case.sizes), boxes, labels, strict=True
    ):
        assert_best_equal(found, rows, theirs, pixels=1e-2)


def assert_fcos_equals(stored: Mapping[str, Tensor], said: Mapping[str, Any]) -> None:
    """Raw outputs, losses of a batch, of its images alone and of empty ones; gradients; boxes."""
    tags = [tag for tag in said["results"] if not tag.startswith("carry")]
    assert tags, "no settings to compare"
    for tag in tags:
        PointHead(tag, stored, said).assert_equals(said["results"][tag])


class PointHead:
    """FCOS on stored maps by the settings that a tag names.

    The tag names the finest level; `_k6` six priors in the first round, `_giou` that loss.
    """

    def __init__(self, tag: str, stored: Mapping[str, Tensor], said: Mapping[str, Any]) -> None:
        self.tag, self.stored, self.said = tag, stored, said
        start = re.match(r"p[23]", tag)
        assert start, f"levels of an unknown name: {tag}"
        levels = list(numbered(stored, f"{start[0]}.in.feat"))
        height, width = said["image_hw"]
        self.size = (height, width)
        self.strides = tuple(height // x.shape[-2] for x in levels)
        self.pyramid = Pyramid(tuple(levels), self.strides)
        boxes, labels = numbered(stored, "in.gt"), numbered(stored, "in.label")
        self.targets = [target(b, k) for b, k in zip(boxes, labels, strict=True)]
        loss: Literal["giou", "diou"] = "giou" if "giou" in tag else "diou"
        self.head = FcosHead(
            levels[0].shape[1],
            self.strides,
            len(stored["w.conv_cls.bias"]),
            depth=_count(stored, r"w\.cls_convs\.\d+\.conv\.weight"),
            norm="none",
            box_loss=loss,
            box_bias=0.0,
        )

    def detector(self, *, carry: bool) -> DenseDetector:
        first = re.search(r"_k(\d+)", self.tag)
        result = _dense(
            self.head,
            ReceptiveFields(self.strides, receptive_fields="published"),
            HierarchicalAssigner(first=int(first[1]) if first else 3, carry=carry),
            DistanceCoder(),
        )
        _fill(result, self.stored, "bbox_head")
        return result

    def assert_equals(self, expected: Mapping[str, Any]) -> None:
        detector = self.detector(carry=True)
        outputs = self.head(self.pyramid)
        self._assert_outputs_equal(outputs)
        sizes = [self.size] * len(self.targets)
        losses = detector.loss(outputs, self.targets, sizes)
        self._assert_losses_equal(losses, expected)
        sum(losses.values(), torch.zeros(())).backward()
        self._assert_gradients_equal(expected["grads"])
        outputs = self.head(self.pyramid)
        alone = self.detector(carry=False).loss(outputs, self.targets, sizes)
        self._assert_losses_equal(alone, expected["loss_images_alone"])
        nothing = target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
        empty = detector.loss(outputs, [nothing] * len(sizes), sizes)
        self._assert_losses_equal(empty, expected["loss_all_images_empty"])
        if "num_det" in expected:
            self._assert_detections_equal(detector.decode(outputs, sizes), expected["num_det"])

    def _assert_outputs_equal(self, outputs: DenseOutputs) -> None:
        assert outputs.quality is not None
        if f"{self.tag}.out.cls0" not in self.stored:
            return  # settings of other losses, whose outputs would be the same
        parts = {
            "cls": outputs.logits,
            "ctr": outputs.quality[..., None],
            "reg_train": outputs.deltas.relu(),
        }
        for name, rows in parts.items():
            maps = as_maps(rows, self.pyramid.sizes)
            for level, wanted in zip(maps, numbered(self.stored, f"{self.tag}.out.{name}")):  # noqa: B905
                assert_near(level[: len(wanted)], wanted, 1e-4)

    def _assert_losses_equal(
        self, losses: Mapping[str, Tensor], expected: Mapping[str, float]
    ) -> None:
        for ours, theirs in (
            ("classification", "loss_cls"),
            ("box", "loss_bbox"),
            ("quality", "loss_centerness"),
        ):
            assert losses[ours].item() == pytest.approx(expected[theirs], rel=1e-5), self.tag

    def _assert_gradients_equal(self, expected: Mapping[str, Any]) -> None:
        ours = {"conv_cls": "classification", "conv_reg": "box", "conv_centerness": "quality"}
        for name, values in expected.items():
            if scale := re.fullmatch(r"scales\.(\d+)\.scale", name):
                gradient, wanted = self.head.scales.grad, [values]
                assert gradient is not None
                gradient = gradient[[int(scale[1])]]
            else:
                module, _, kind = name.partition(".")
                gradient = getattr(self.head.get_submodule(ours[module]), kind).grad
                wanted = values
            torch.testing.assert_close(gradient, torch.tensor(wanted), rtol=1e-4, atol=1e-5)

    def _assert_detections_equal(self, found: Sequence[Detections], counts: Sequence[int]) -> None:
        rows = numbered(self.stored, f"{self.tag}.out.det")
        labels = numbered(self.stored, f"{self.tag}.out.det_label")
        scales = self.said["scale_factors"]
        for ours, boxes, theirs, scale, count in zip(
            found, rows, labels, scales, counts, strict=True
        ):
            assert len(ours) == count
            assert_best_equal(ours, boxes, theirs, pixels=2e-3, scale=scale)


def assert_best_equal(
    found: Detections, rows: Tensor, labels: Tensor, *, pixels: float, scale: float = 1.0
) -> None:
    """The best detections are those of the file, in any order where scores are as good as equal."""
    count = len(rows)
    best = found.scores.sort(descending=True).values[:count]
    wanted = rows[:, 4].sort(descending=True).values
    torch.testing.assert_close(best, wanted, rtol=0, atol=1e-4)
    off = (rows[:, None, :4] - found.boxes[None] / scale).abs().amax(dim=-1) / pixels
    off = off.maximum((rows[:, 4, None] - found.scores).abs() / 1e-4)
    off = off.masked_fill(labels.long()[:, None] != found.labels, torch.inf)
    assert (off.amin(dim=1) <= 1).all(), f"off by {off.amin(dim=1).max():.3g} tolerances"


HOSTS = {
    "autoassign": "fcos_rfla_resnet50",
    "fcos_p2": "fcos_p2_rfla_resnet50",
    "fcos": "fcos_rfla_resnet50",
    "retinanet": "retinanet_rfla_resnet50",
    "faster": "faster_rcnn_rfla_resnet50",
    "cascade": "cascade_rcnn_rfla_resnet50",
    "detectors": "detectors_rfla_resnet50",
}
"""What our recipes call the detectors of the files."""
WITHOUT_PLACE = r"bbox_head\.(center_prior\.(mean|sigma)|(cls|reg)_convs\.\d+\.conv\.bias)"
"""Tensors of AutoAssign that no part of ours has."""


@torch.no_grad()
def assert_whole_detector_equals(
    kind: str, stored: Mapping[str, Tensor], said: Mapping[str, Any]
) -> None:
    """Pyramid, proposals and detections of a narrow detector built by its recipe."""
    model: Any = _narrow(kind.replace("fcos_p3", "fcos"), stored)
    pictures = stored["in.img"]
    neck = model.neck(model.backbone(pictures))
    for ours, wanted in zip(neck.levels, numbered(stored, "out.neck"), strict=True):
        assert_near(ours, wanted, 1e-4)
    outputs = model(pictures)
    if (proposals := stored.get("out.proposals_top200")) is not None:
        found = model.rpn.propose(outputs.proposals, [SEEN], model.rpn.test_limits)[0]
        assert len(found) == said["num_proposals"]
        labels = torch.zeros(len(found), dtype=torch.int64)
        assert_best_equal(
            Detections(found.boxes, found.scores, labels),
            proposals,
            labels[: len(proposals)],
            pixels=1e-2,
        )
    detections = model.decode(outputs, [SEEN])[0]
    counts = detections.labels.bincount(minlength=len(said["per_class"]))
    assert len(detections) == said["num_det"]
    # Near equal scores at the limit, and near equal overlaps, may fall either way.
    assert (counts - torch.tensor(said["per_class"])).abs().max() <= 1
    best = stored["out.dets_top200"]
    assert_best_equal(detections, best, best[:, 5], pixels=1e-2, scale=SCALE)


def _narrow(kind: str, stored: Mapping[str, Tensor]) -> nn.Module:
    """The detector of a recipe with the widths and depths of stored weights, and these."""
    weights = {k.removeprefix("w."): v for k, v in stored.items() if k.startswith("w.")}
    width = len(weights["backbone.layer1.0.conv1.weight"])
    changes = [
        "mean=[0, 0, 0]",
        "std=[1, 1, 1]",
        "backbone.weights=null",
        f"backbone.width={width}",
        f"neck.channels={len(weights['neck.fpn_convs.0.conv.bias'])}",
    ]
    for name, tensor in weights.items():
        if found := re.fullmatch(r"roi_head\.bbox_head\.(\d+\.)?shared_fcs\.0\.bias", name):
            place = f"stages.{found[1]}head" if found[1] else "head"
            changes.append(f"roi.{place}.width={len(tensor)}")
    if depth := _count(weights, r"bbox_head\.cls_convs\.\d+\.conv\.weight"):
        changes.append(f"head.depth={depth}")
    settings = load_recipe(f"ai_tod/{HOSTS[kind]}", [f"model.{change}" for change in changes]).model
    model: Any = build(settings, _classes(weights))
    model.backbone = StagedNetwork(
        Kernel(7, 2),
        "bottleneck",
        [_count(weights, rf"backbone\.layer{i}\.\d+\.conv1\.weight") for i in range(1, 5)],
        width=width,
        stem_width=len(weights["backbone.conv1.weight"]),
        strides=None,
        norm="batch",
        groups=1,
        antialias=None,
        norm_eval=True,
        norm_affine=True,
        frozen_stages=-1,
        zero_init_residual=False,
        weights=None,
        stride_first=settings["backbone"]["stride_first"],
    )
    found = fit(weights, LAYOUT.keys(model), LAYOUT.renamed)
    assert found.missing == found.left_over == ()
    missing, unexpected = model.load_state_dict(found.values, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    model.eval()
    return model


def assert_maps_host(said: Mapping[str, Any]) -> None:
    """Every tensor of a published detector has its place and shape in ours, and comes back.

    AutoAssign is not offered: what it does to points outside of their objects is a slip that has no
    meaning. It is an FCOS with group norm, but for the biases of the convolutions before the norms
    and for the two tensors of its learned prior; those have no place.
    """
    config, published = said["config"], said["state_dict"]
    kind = next(k for k in HOSTS if k in config.replace("fcos_r50_p2", "fcos_p2"))
    changes = ["model.backbone.weights=null"]
    if kind == "detectors":
        changes.append("model.neck.backbone.weights=null")
    homeless: set[str] = set()
    if kind == "autoassign":
        changes += ["model.head.norm=group", "model.neck.extra=conv_input"]
        homeless = {name for name in published if re.fullmatch(WITHOUT_PLACE, name)}
    settings = load_recipe(f"ai_tod/{HOSTS[kind]}", changes).model
    with torch.device("meta"):
        tensors = {name: torch.empty(shape) for name, shape in published.items()}
        model = build(settings, _classes(tensors))
    keys = LAYOUT.keys(model)
    found = fit(tensors, keys, LAYOUT.renamed)
    assert (found.missing, set(found.left_over)) == ((), homeless)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert {name: tensor.shape for name, tensor in found.values.items()} == shapes
    back = tensors_of(found.values, keys)
    assert back.keys() == tensors.keys() - homeless
    assert all(back[name].shape == tensors[name].shape for name in back)
    more = sum(tensors[name].numel() for name in homeless)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in model.parameters()) + more == said["parameters"]
    assert sum(p.numel() for p in trained) + more == said["trainable_parameters"]


def _classes(tensors: Mapping[str, Tensor]) -> int:
    """Number of classes of a detector, by the last layer of its first head."""
    for name, count in (
        ("bbox_head.conv_cls.bias", lambda n: n),
        ("bbox_head.retina_cls.bias", lambda n: n // len(RATIOS)),
        ("roi_head.bbox_head.fc_cls.bias", lambda n: n - 1),
        ("roi_head.bbox_head.0.fc_cls.bias", lambda n: n - 1),
    ):
        if name in tensors:
            return int(count(len(tensors[name])))
    raise AssertionError("a detector without a known head")


def _dense(
    head: FcosHead | RetinaHead,
    priors: ReceptiveFields,
    assigner: HierarchicalAssigner,
    coder: DeltaCoder | DistanceCoder,
    own_padding: int | None = None,
) -> DenseDetector:
    """A head with the published test settings, without a network before it."""
    return DenseDetector(
        nn.Identity(),
        nn.Identity(),
        head,
        priors,
        assigner,
        TakeAll(),
        coder,
        candidates=3000,
        rank="priors",
        nms=0.5,
        limit=3000,
        ignore_threshold=1.0,
        own_padding=own_padding,
    )


def _fill(owner: nn.Module, stored: Mapping[str, Tensor], theirs: str) -> None:
    """Gives the owner's head its stored weights."""
    weights = {
        f"{theirs}.{name.removeprefix('w.')}": value
        for name, value in stored.items()
        if name.startswith("w.")
    }
    found = fit(weights, part_keys(owner, "head", theirs), lambda name: name)
    assert found.missing == found.left_over == ()
    owner.load_state_dict(found.values)


def _count(names: Mapping[str, Any], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in names)
