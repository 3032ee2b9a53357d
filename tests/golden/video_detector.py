"""The published detector around the aggregated maps: priors, targets, losses, what comes out."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from video_fill import assert_close

from tinyscope.detectors.build import build
from tinyscope.detectors.matching import match_batch, standing
from tinyscope.detectors.proposals import ProposalLimits, Proposals
from tinyscope.detectors.published import LAYOUTS, fit, layout_of, tensors_of
from tinyscope.nn.heads.tower import rows
from tinyscope.settings import load_recipe
from tinyscope.types import DenseOutputs, Pyramid, Target

STRIDE = 16
BEFORE_SUPPRESSION = 200
"""Of the proposals that the file holds, as the README says."""

RECIPE = "fgfa/imagenet_vid_r50_dc5"
_FILES = ("detector.backbone.weights", "motion.weights")
VIDEO = load_recipe(RECIPE, [f"model.{key}=null" for key in _FILES]).model
"""The published detector of videos, without its first weights."""
DETECTOR: Mapping[str, Any] = VIDEO["detector"]
"""The detector of images in it."""


def video_detector(classes: int) -> nn.Module:
    """The detector of videos without numbers in its weights."""
    with torch.device("meta"):
        return build(VIDEO, classes)


def assert_names_fit(manifest: Mapping[str, Sequence[int]]) -> None:
    """Every tensor has its place on both sides, and its shape unless its classes are others."""
    classes = manifest["detector.roi_head.bbox_head.fc_reg.bias"][0] // 4
    model = video_detector(classes)
    tensors = {name: torch.rand(shape) for name, shape in manifest.items()}
    assert layout_of(tensors) == "mmtracking"
    layout = LAYOUTS["mmtracking"]
    keys = layout.keys(model)
    found = fit(tensors, keys, layout.renamed)
    assert (found.missing, found.left_over) == ((), ())
    own = model.state_dict()
    differing = {name for name, value in found.values.items() if value.shape != own[name].shape}
    rows = manifest["detector.roi_head.bbox_head.fc_cls.bias"][0]
    # The seed's groups have too few rows (section 1 of the reference), so no file of it can exist.
    of_classes = {f"detector.roi.head.classification.{kind}" for kind in ("weight", "bias")}
    assert differing == (of_classes if rows != classes + 1 else set())
    assert found.values.keys() == own.keys()
    back = tensors_of(found.values, keys)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in back)


def assert_learns(stored: Mapping[str, Any]) -> None:
    """Which tensors learn, and which norms use a batch's own statistics."""
    model = video_detector(1).train()
    theirs = {ours: entry.names[0] for ours, entry in LAYOUTS["mmtracking"].keys(model).items()}
    frozen = [theirs[name] for name, p in model.named_parameters() if not p.requires_grad]
    assert sorted(frozen) == sorted(stored["frozen"])
    assert sum(p.requires_grad for p in model.parameters()) == stored["n_trainable"]
    norms = {n: m for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert [name for name, norm in norms.items() if norm.training] == stored["bn_in_train_mode"]


def detector(classes: int) -> Any:
    """The image detector without numbers in its weights."""
    with torch.device("meta"):
        return build(DETECTOR, classes)


def assert_anchors_equal(stored: Mapping[str, Tensor]) -> None:
    """Sides of the anchors, and where they stand on a map as long as the file's."""
    priors = detector(1).rpn.priors
    base = stored["anchors.base"]
    cells = len(stored["anchors.grid"]) // len(base)
    size = stored["rpn.cls"].shape[-2:]
    assert cells == size[0] * size[1]
    found = priors([(size[0], size[1])], torch.device("cpu")).boxes
    assert_close(found[: len(base)], base)
    assert_close(found, stored["anchors.grid"])


def assert_proposals_learn(stored: Mapping[str, Tensor]) -> None:
    """Which anchors answer for what, their targets, the losses and gradients."""
    stage = detector(1).rpn
    logits, deltas = (stored[k].clone().requires_grad_() for k in ("rpn.cls", "rpn.reg"))
    outputs, size = _outputs(logits, deltas), _size(stored["rpn.img_shape"])
    target = _target(stored["rpn.gt"], torch.zeros(len(stored["rpn.gt"]), dtype=torch.int64))
    priors = stage.priors(outputs.pyramid.sizes, torch.device("cpu"))
    (matches,) = match_batch(
        priors,
        [target],
        stage.assigner,
        stage.sampler,
        ignore_threshold=stage.ignore_threshold,
        chosen=standing(priors, [size], overhang=stage.overhang, divisor=stage.own_padding),
    )
    positive = torch.zeros(len(priors), dtype=torch.bool)
    positive[matches.positive] = True
    taking_part = positive.clone()
    taking_part[matches.negative] = True
    assert torch.equal(positive, stored["rpn.labels"] == 0)
    assert torch.equal(taking_part, stored["rpn.label_weights"] > 0)
    assert torch.equal(positive, stored["rpn.bbox_weights"][:, 0] > 0)
    counts = [len(matches.positive), len(matches.negative)]
    assert [max(count, 1) for count in counts] == stored["rpn.num_pos_neg"].tolist()
    encoded = stage.coder.encode(priors[matches.positive], matches.boxes)
    assert_close(encoded, stored["rpn.bbox_targets"][matches.positive])
    losses = stage.loss(outputs, [target], [size])
    assert_close(losses["objectness"], stored["rpn.loss_cls"])
    assert_close(losses["proposal_box"], stored["rpn.loss_bbox"])
    sum(losses.values()).backward()
    assert_close(logits.grad, stored["rpn.grad_cls"])
    assert_close(deltas.grad, stored["rpn.grad_reg"])


def assert_proposals_equal(stored: Mapping[str, Tensor]) -> None:
    """Those of the test, best first, with their scores."""
    stage, expected = detector(1).rpn, stored["rpn.proposals"]
    found = stage.propose(
        _outputs(stored["rpn.cls"], stored["rpn.reg"]),
        [_size(stored["rpn.img_shape"])],
        ProposalLimits(BEFORE_SUPPRESSION, len(expected)),
    )[0]
    assert_close(torch.cat([found.boxes, found.scores[:, None]], dim=1), expected)


def assert_classes_learn(stored: Mapping[str, Tensor]) -> None:
    """Which proposals are learned from, as what, and the losses."""
    background = stored["rcnn.cls_score"].shape[1] - 1
    stage = detector(background).roi
    proposals, sampled = stored["rcnn.proposals"], stored["rcnn.sampled"]
    target = _target(stored["rcnn.gt"], stored["rcnn.gt_labels"])
    chosen = stage.choose([Proposals(proposals, torch.ones(len(proposals)))], [target])[0]
    boxes = chosen.proposals.boxes
    assert len(boxes) == len(sampled)
    # Ours stand in another order; no box stands twice.
    order = (boxes[:, None] == sampled).all(dim=2).int().argmax(dim=1)
    assert torch.equal(sampled[order], boxes)
    assert torch.equal(chosen.labels, stored["rcnn.labels"][order])
    positive = chosen.labels < background
    assert positive.sum() == len(chosen.encoded) == stored["rcnn.num_pos"]
    assert torch.equal(positive, stored["rcnn.bbox_weights"][order, 0] > 0)
    assert (stored["rcnn.label_weights"] == 1).all()
    assert_close(chosen.encoded, stored["rcnn.bbox_targets"][order[positive]])
    deltas = stored["rcnn.bbox_pred"].unflatten(1, (-1, 4))[order]
    losses = stage.loss_of([chosen], stored["rcnn.cls_score"][order], deltas)
    assert_close(losses["classification"], stored["rcnn.loss_cls_softmax31"])
    assert_close(losses["box"], stored["rcnn.loss_bbox"])


def assert_detections_equal(stored: Mapping[str, Tensor]) -> None:
    """Classes and boxes of proposals to detections in the image as it was before resizing."""
    logits, deltas = stored["post.cls_score"], stored["post.bbox_pred"].unflatten(1, (-1, 4))
    stage = detector(logits.shape[1] - 1).roi
    (verdict,) = stage.verdicts(
        [stored["post.rois"]], stage.head.scores(logits), deltas, [_size(stored["post.img_shape"])]
    )
    found = stage.select(verdict)
    assert torch.equal(found.labels, stored["post.labels"])
    boxes = found.boxes / stored["post.scale_factor"]
    assert_close(torch.cat([boxes, found.scores[:, None]], dim=1), stored["post.det"])


def _outputs(logits: Tensor, deltas: Tensor) -> DenseOutputs:
    pyramid = Pyramid((logits,), (STRIDE,))
    return DenseOutputs(pyramid, rows([logits], 1), rows([deltas], 4))


def _size(shape: Tensor) -> tuple[int, int]:
    height, width, _ = shape.tolist()
    return height, width


def _target(boxes: Tensor, labels: Tensor) -> Target:
    return Target(boxes, labels, torch.zeros(len(boxes), dtype=torch.bool))
