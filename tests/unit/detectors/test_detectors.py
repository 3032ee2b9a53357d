import copy
from dataclasses import replace

import pytest
import torch

from tinyscope.detectors.build import build
from tinyscope.errors import SettingsError
from tinyscope.ops.boxes import overlaps
from tinyscope.types import Target

BACKBONE = {"name": "resnet", "depth": 18, "width": 8, "strides": [4, 8, 16]}
SHARED = {"backbone": BACKBONE, "neck": {"name": "fpn", "channels": 32}}
MATCHING = {"sampler": {"name": "all"}}
FCOS = {
    "name": "dense",
    **SHARED,
    **MATCHING,
    "head": {"name": "fcos", "depth": 1},
    "priors": {"name": "points"},
    "assigner": {"name": "center"},
    "coder": {"name": "distance"},
}
RETINANET = {
    **FCOS,
    "head": {"name": "retina", "depth": 1},
    "priors": {"name": "anchors"},
    "assigner": {"name": "max_iou"},
    "coder": {"name": "delta"},
}
FASTER_RCNN = {
    "name": "two_stage",
    **SHARED,
    "rpn": {
        "name": "proposals",
        "head": {"name": "rpn"},
        "priors": {"name": "anchors"},
        "assigner": {"name": "max_iou", "positive": 0.7, "negative": 0.3, "rescue": 0.3},
        "sampler": {"name": "random", "count": 64},
        "coder": {"name": "delta"},
        "train_after": 100,
        "test_after": 50,
    },
    "roi": {
        "name": "boxes",
        "head": {"name": "two_fc", "width": 32},
        "assigner": {"name": "max_iou", "positive": 0.5, "negative": 0.5, "rescue": None},
        "sampler": {"name": "random", "count": 64, "positive_fraction": 0.25},
        "coder": {"name": "delta", "stds": [0.1, 0.1, 0.2, 0.2]},
    },
}
STAGE = {**FASTER_RCNN["roi"], "head": {"name": "two_fc", "width": 32, "per_class": False}}
CASCADE_RCNN = {**FASTER_RCNN, "roi": {"name": "cascade", "stages": [STAGE, STAGE]}}
FOVEA = {
    **FCOS,
    "head": {"name": "fovea", "depth": 1},
    "assigner": {"name": "fovea"},
    "coder": {"name": "fovea"},
}
FCOS_BATCH_NORM = {**FCOS, "head": {"name": "fcos", "depth": 1, "norm": "batch", "quality": "iou"}}
MODELS = {
    "fcos": FCOS,
    "fcos with batch norm": FCOS_BATCH_NORM,
    "retinanet": RETINANET,
    "faster_rcnn": FASTER_RCNN,
    "cascade_rcnn": CASCADE_RCNN,
    "fovea": FOVEA,
}
SIZES = [(64, 96), (50, 70)]


def objects(*rows: tuple[float, ...], ignore: bool = False) -> Target:
    return Target(
        torch.tensor(rows, dtype=torch.float32).reshape(-1, 4),
        torch.zeros(len(rows), dtype=torch.int64),
        torch.full((len(rows),), ignore),
    )


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=generator)


@pytest.fixture(params=MODELS)
def detector(request):
    torch.manual_seed(0)
    return build(MODELS[request.param], classes=3)


def total(detector, targets) -> torch.Tensor:
    torch.manual_seed(1)
    losses = detector.loss(detector(images()), targets, SIZES)
    return torch.stack(list(losses.values())).sum()


@pytest.mark.parametrize(
    "targets",
    [
        [objects((10, 10, 18, 18), (30, 30, 31, 31)), objects((0, 0, 6, 4))],
        [objects(), objects()],
        [objects(), objects((60, 40, 70, 50))],
        [objects((10, 10, 30, 30), ignore=True), objects()],
    ],
    ids=["objects", "none", "one image empty", "only ignored"],
)
def test_every_parameter_learns_from_every_batch(detector, targets):
    # A parameter without a gradient would stop several processes from training together.
    loss = total(detector, targets)
    assert loss.isfinite()
    loss.backward()
    assert [n for n, p in detector.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", ["fcos", "retinanet", "faster_rcnn", "fovea"])
def test_outputs_do_not_depend_on_training_mode(name):
    torch.manual_seed(0)
    backbone = {**BACKBONE, "norm": "group", "groups": 4}
    # batch norm's statistics would depend on it
    detector = build({**MODELS[name], "backbone": backbone}, classes=3)
    training, testing = detector.train()(images()), detector.eval()(images())
    first, second = (getattr(o, "proposals", o) for o in (training, testing))
    torch.testing.assert_close(first.logits, second.logits)


def test_boxes_and_losses_are_float32_in_bfloat16(detector):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = detector(images())
        losses = detector.loss(outputs, [objects((10, 10, 18, 18)), objects()], SIZES)
        found = detector.eval().decode(outputs, SIZES)
    raw = getattr(outputs, "proposals", outputs)
    assert raw.logits.dtype == raw.deltas.dtype == torch.float32
    assert {x.dtype for x in losses.values()} == {torch.float32}
    assert {f.boxes.dtype for f in found} == {torch.float32}


def test_what_an_ignored_region_covers_changes_no_loss():
    torch.manual_seed(0)
    detector = build(RETINANET, classes=3).eval()
    outputs = detector(images())
    region = (32.0, 0.0, 64.0, 32.0)
    covered = detector.loss(outputs, [objects(region, ignore=True), objects()], SIZES)
    priors = detector.priors(outputs.pyramid.sizes, outputs.logits.device)
    x1, y1, x2, y2 = priors.boxes.unbind(dim=1)
    inside = (x1 >= 32) & (y1 >= 0) & (x2 <= 64) & (y2 <= 32)
    assert inside.any()
    outputs.logits[0, inside] += 5.0
    after = detector.loss(outputs, [objects(region, ignore=True), objects()], SIZES)
    torch.testing.assert_close(after["classification"], covered["classification"])
    outputs.logits[0, ~inside] += 5.0
    moved = detector.loss(outputs, [objects(region, ignore=True), objects()], SIZES)
    assert moved["classification"] > covered["classification"]


def test_detections_are_ordered_clipped_and_limited(detector):
    with torch.no_grad():
        outputs = detector.eval()(images())
        raw = getattr(outputs, "proposals", outputs)
        raw.logits.copy_(torch.randn(raw.logits.shape) * 3)
        raw.deltas.copy_(torch.randn(raw.deltas.shape) * 2)
    last = detector.roi.stages[-1] if hasattr(detector, "roi") else detector
    last.suppress = replace(last.suppress, limit=7)
    for found, (height, width) in zip(detector.decode(outputs, SIZES), SIZES, strict=True):
        assert 0 < len(found) <= 7
        assert (found.scores[:-1] >= found.scores[1:]).all()
        assert (found.boxes >= 0).all()
        assert (found.boxes[:, 2] <= width).all()
        assert (found.boxes[:, 3] <= height).all()


def test_a_perfect_head_finds_its_objects_again():
    torch.manual_seed(0)
    detector = build(FCOS, classes=3).eval()
    wanted = torch.tensor([[10.0, 10, 18, 19], [40, 20, 44, 23], [70, 40, 71, 41]])
    outputs = detector(images()[:1])
    priors = detector.priors(outputs.pyramid.sizes, outputs.logits.device)
    assigned = detector.assigner(priors, wanted)
    outputs.logits.fill_(-9.0)
    outputs.quality.fill_(9.0)
    hit = assigned >= 0
    outputs.logits[0, hit, 1] = 9.0
    encoded = detector.coder.encode(priors[hit], wanted[assigned[hit]])
    assert (encoded >= 0).sum() > 8  # only the 1 px object may lie off its point
    outputs.deltas[0, hit] = encoded
    found = detector.decode(outputs, [(64, 96)])[0]
    assert set(found.labels.tolist()) == {1}
    distance = (found.boxes[:, None] - wanted[None, :2]).abs().amax(dim=-1).amin(dim=0)
    assert distance.max() < 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_learning_one_batch_finds_its_objects(name):
    torch.manual_seed(0)
    detector = build(MODELS[name], classes=2)
    picture = torch.full((1, 3, 64, 64), 100, dtype=torch.uint8)
    boxes = [(8, 8, 16, 16), (40, 12, 46, 20), (24, 44, 36, 54)]
    for x1, y1, x2, y2 in boxes:
        picture[..., y1:y2, x1:x2] = 220
    target = objects(*boxes)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=2e-3)
    for _ in range(80):
        losses = detector.loss(detector(picture), [target], [(64, 64)])
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    found = detector.decode(detector(picture), [(64, 64)])[0]
    assert (overlaps(target.boxes, found.boxes).amax(dim=1) > 0.6).all()


def test_parts_that_do_not_fit_are_refused_by_path():
    model = copy.deepcopy(RETINANET)
    model["priors"] = {"name": "anchors", "sides": [[8.0], [16.0]]}
    with pytest.raises(SettingsError, match=r"model.priors: sides has 2 levels, the neck has 3"):
        build(model, classes=3)
    del model["priors"]
    with pytest.raises(SettingsError, match=r"model.priors: must be given"):
        build(model, classes=3)
