"""torchvision's detectors and ours give the same raw outputs for the same weights."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from tinyscope.detectors.build import build
from tinyscope.detectors.published import LAYOUTS, Fit, fit, layout_of, tensors_of
from tinyscope.detectors.published.adjust import with_norm_eps
from tinyscope.detectors.published.misfit import refuse_misfit
from tinyscope.errors import CheckpointError

CLASSES = 3
BACKBONE = {"name": "resnet", "depth": 18}
MATCHING = {"assigner": {"name": "max_iou"}, "sampler": {"name": "all"}, "coder": {"name": "delta"}}
SIDES = ((32, 40, 50), (64, 80, 101), (128, 161, 203), (256, 322, 406), (512, 645, 812))
FASTER = {
    "name": "two_stage",
    "backbone": BACKBONE,
    "neck": {"name": "fpn", "coarsest": 64},
    "rpn": {
        "name": "proposals",
        "head": {"name": "rpn"},
        "priors": {"name": "anchors", "scale": 8, "rounded": True},
        **MATCHING,
    },
    "roi": {"name": "boxes", "aligned": False, "head": {"name": "two_fc"}, **MATCHING},
}
RETINA = {
    "name": "dense",
    "backbone": BACKBONE,
    "neck": {"name": "fpn", "finest": 8, "coarsest": 128, "extra": "conv_output"},
    "head": {"name": "retina"},
    "priors": {"name": "anchors", "sides": SIDES, "rounded": True},
    **MATCHING,
}


def randomized(model: nn.Module) -> nn.Module:
    """Weights that keep the values of maps in bounds; every tensor differs from the next."""
    for name, tensor in model.state_dict().items():
        if tensor.ndim > 1:
            nn.init.normal_(tensor, std=(1 / tensor[0].numel()) ** 0.5)
        elif name.endswith("running_var"):
            nn.init.uniform_(tensor, 0.001, 0.01)  # small, where an eps counts
        elif tensor.ndim == 1:
            nn.init.uniform_(tensor, 0.02, 0.1)
    return model.eval()


def imported(state, model, eps=1e-5):
    assert layout_of(state) == "torchvision"
    layout = LAYOUTS["torchvision"]
    found = fit(state, layout.keys(model), layout.renamed)
    assert (found.missing, found.left_over) == ((), ())
    values = with_norm_eps(found.values, model, eps)
    absent = model.load_state_dict(values, strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in absent)
    return model.eval()


def pixels():
    return torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)


def assert_near(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.fixture(scope="module")
def faster():
    torch.manual_seed(0)
    backbone = _resnet_fpn_extractor(resnet18(norm_layer=FrozenBatchNorm2d), 5)
    model = randomized(FasterRCNN(backbone, num_classes=CLASSES + 1))
    overwrite_eps(model, 0.0)
    return model


@torch.no_grad()
def test_faster_rcnn_gives_the_outputs_of_torchvision(faster):
    ours = imported(faster.state_dict(), build(FASTER, CLASSES), eps=0.0)
    images = pixels()
    features = faster.backbone(faster.transform.normalize(images[0] / 255)[None])
    objectness, deltas = faster.rpn.head(list(features.values()))
    outputs = ours(images)
    expected = [x.permute(0, 2, 3, 1).reshape(1, -1, 1) for x in objectness]
    assert_near(outputs.proposals.logits, torch.cat(expected, dim=1))
    expected = [x.permute(0, 2, 3, 1).reshape(1, -1, 4) for x in deltas]
    assert_near(outputs.proposals.deltas, torch.cat(expected, dim=1))

    boxes = torch.tensor([[3.0, 5, 20, 31], [0, 0, 64, 64], [40.3, 20.7, 90.1, 40.2]])
    pooled = faster.roi_heads.box_roi_pool(features, [boxes], [(64, 96)])
    logits, deltas = faster.roi_heads.box_predictor(faster.roi_heads.box_head(pooled))
    found_logits, found_deltas = ours.roi.head(ours.roi.features(outputs.pyramid, [boxes]))
    assert_near(found_logits, torch.cat([logits[:, 1:], logits[:, :1]], dim=1))
    assert_near(found_deltas, deltas.view(3, CLASSES + 1, 4)[:, 1:])


@torch.no_grad()
def test_the_eps_of_norms_matters(faster):
    ours = imported(faster.state_dict(), build(FASTER, CLASSES))
    images = pixels()
    expected = faster.backbone.body(faster.transform.normalize(images[0] / 255)[None])["3"]
    found = ours.backbone(ours.normalize(images))[-1]
    assert (found - expected).abs().max() > 1e-3 * expected.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("norm", ["none", "group"])
def test_retinanet_gives_the_outputs_of_torchvision(norm):
    backbone = _resnet_fpn_extractor(
        resnet18(norm_layer=FrozenBatchNorm2d),
        5,
        returned_layers=[2, 3, 4],
        extra_blocks=LastLevelP6P7(256, 256),
    )
    anchors = AnchorGenerator(SIDES, ((0.5, 1.0, 2.0),) * len(SIDES))
    theirs = RetinaNet(backbone, num_classes=CLASSES + 1, anchor_generator=anchors)
    if norm == "group":
        for branch in (theirs.head.classification_head, theirs.head.regression_head):
            groups = partial(nn.GroupNorm, 32)
            layers = [
                nn.Sequential(nn.Conv2d(256, 256, 3, 1, 1, bias=False), groups(256), nn.ReLU())
                for _ in range(4)
            ]
            branch.conv = nn.Sequential(*layers)
    randomized(theirs)
    model = build({**RETINA, "head": {"name": "retina", "norm": norm}}, CLASSES)
    ours = imported(theirs.state_dict(), model)
    images = pixels()
    normalized = theirs.transform.normalize(images[0] / 255)[None]
    features = list(theirs.backbone(normalized).values())
    expected = theirs.head(features)
    outputs = ours(images)
    assert_near(outputs.logits, expected["cls_logits"][..., 1:])
    assert_near(outputs.deltas, expected["bbox_regression"])
    boxes = theirs.anchor_generator(ImageList(normalized, [(64, 96)]), features)[0]
    priors = ours.priors(outputs.pyramid.sizes, images.device)
    # Their stride is the size divided by the map's, which is no power of two on odd maps.
    fine = priors.levels < 3
    torch.testing.assert_close(priors.boxes[fine], boxes[fine])


def test_a_retinanet_without_a_row_for_background_is_taken_as_it_is():
    model = build(RETINA, CLASSES)
    keys = LAYOUTS["torchvision"].keys(model)
    entry = keys["head.classification.bias"]
    with_background = torch.arange(9 * 4.0)
    assert entry.take([with_background]).view(9, 3)[1].tolist() == [5, 6, 7]
    assert torch.equal(entry.take([with_background[:27]]), with_background[:27])


def test_the_row_of_background_is_no_class_of_a_file_that_does_not_fit():
    with torch.device("meta"):
        model = build(RETINA, 2)
        values = model.state_dict() | {"head.classification.bias": torch.empty(9 * 91)}
    found = Fit("", values, (), ())
    with pytest.raises(CheckpointError, match="trained for 90 classes, and 2 are named"):
        refuse_misfit(Path("a.pth"), ["x"], found, [], model, background_rows=True)
    with pytest.raises(CheckpointError, match="trained for 91 classes, and 2 are named"):
        refuse_misfit(Path("a.pth"), ["x"], found, [], model)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("backbone.fpn.inner_blocks.2.weight", "backbone.fpn.inner_blocks.2.0.weight"),
        ("backbone.fpn.layer_blocks.0.bias", "backbone.fpn.layer_blocks.0.0.bias"),
        ("rpn.head.conv.weight", "rpn.head.conv.0.0.weight"),
        ("head.regression_head.conv.6.bias", "head.regression_head.conv.3.0.bias"),
        ("head.regression_head.conv.1.1.bias", "head.regression_head.conv.1.1.bias"),
        ("rpn.head.cls_logits.bias", "rpn.head.cls_logits.bias"),
    ],
)
def test_older_names_of_torchvision_are_those_of_today(older, newer):
    assert LAYOUTS["torchvision"].renamed(older) == newer


def test_what_torchvision_lacks_is_refused():
    fcos = {**RETINA, "head": {"name": "fcos"}, "priors": {"name": "points"}}
    with pytest.raises(CheckpointError, match=r"Faster R-CNN and RetinaNet.*not.* a Fcos"):
        LAYOUTS["torchvision"].keys(build(fcos, 1))


def test_nothing_is_invented_to_write_the_layout_of_torchvision():
    model = build(RETINA, CLASSES)
    with pytest.raises(CheckpointError, match=r"head.classification_head.cls_logits.*holds more"):
        tensors_of(model.state_dict(), LAYOUTS["torchvision"].keys(model))
