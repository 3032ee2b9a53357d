"""Every tensor has one place in a published file, and comes back from it as it was."""

import pytest
import torch
from torch import nn

from tinyscope.detectors.build import build
from tinyscope.detectors.published import LAYOUTS, fit, layout_of, tensors_of
from tinyscope.errors import CheckpointError

BACKBONE = {"name": "resnet", "depth": 18, "width": 4}
MATCHING = {"assigner": {"name": "max_iou"}, "sampler": {"name": "all"}, "coder": {"name": "delta"}}
ANCHORS = {"name": "anchors"}


def fpn(**options):
    return {"name": "fpn", "channels": 8, **options}


def dense(head, neck, priors):
    shared = {"name": "dense", "backbone": BACKBONE, **MATCHING}
    return {**shared, "neck": neck, "priors": priors, "head": {"depth": 2, **head}}


def two_stage(neck, **head):
    rpn = {"name": "proposals", "head": {"name": "rpn"}, "priors": ANCHORS, **MATCHING}
    roi = {"name": "boxes", "head": {"name": "two_fc", "width": 16, **head}, **MATCHING}
    return {"name": "two_stage", "backbone": BACKBONE, "neck": neck, "rpn": rpn, "roi": roi}


MODELS = {
    "faster": two_stage(fpn(coarsest=64)),
    "faster, one set of deltas": two_stage(fpn(norm="batch"), per_class=False),
    "faster on hrfpn": two_stage({"name": "hrfpn", "channels": 8, "coarsest": 64}),
    "retina": dense({"name": "retina"}, fpn(coarsest=128, extra="conv_input"), ANCHORS),
    "retina from stride 8": dense({"name": "retina", "norm": "group"}, fpn(finest=8), ANCHORS),
    "fcos": dense(
        {"name": "fcos"},
        fpn(finest=8, coarsest=128, extra="conv_output", norm="group", groups=4),
        {"name": "points"},
    ),
    "fcos without norm": dense({"name": "fcos", "norm": "none"}, fpn(), {"name": "points"}),
    "fovea": dense({"name": "fovea"}, {"name": "sspnet", "channels": 8}, {"name": "points"}),
}
MODELS["cascade"] = {
    **MODELS["faster"],
    "roi": {"name": "cascade", "stages": [MODELS["faster"]["roi"]] * 2},
}


def detector(name, classes=3):
    return randomized(build(MODELS[name], classes))


def randomized(model: nn.Module) -> nn.Module:
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.1, 1)
    return model


def read(tensors, model, layout="mmdet"):
    return fit(tensors, LAYOUTS[layout].keys(model), LAYOUTS[layout].renamed)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_written_in_the_layout_of_mmdet_is_read_again(name, prefix):
    model = detector(name)
    state = model.state_dict()
    published = tensors_of(state, LAYOUTS["mmdet"].keys(model))
    assert layout_of(published) == "mmdet"
    found = read({prefix + key: value for key, value in published.items()}, model)
    assert (found.prefix, found.missing, found.left_over) == (prefix, (), ())
    assert found.values.keys() == state.keys()
    assert all(torch.equal(found.values[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("faster", "backbone.layer1.0.conv1.weight", "backbone.layer1.0.conv1.weight"),
        ("faster", "neck.lateral.1.0.bias", "neck.lateral_convs.1.conv.bias"),
        ("faster, one set of deltas", "neck.smooth.3.1.weight", "neck.fpn_convs.3.bn.weight"),
        ("retina", "neck.added.1.0.weight", "neck.fpn_convs.5.conv.weight"),
        ("retina from stride 8", "neck.smooth.2.0.weight", "neck.fpn_convs.2.conv.weight"),
        ("fcos", "neck.added.0.1.weight", "neck.fpn_convs.3.gn.weight"),
        ("faster on hrfpn", "neck.reduce.weight", "neck.reduction_conv.conv.weight"),
        ("faster on hrfpn", "neck.smooth.4.bias", "neck.fpn_convs.4.conv.bias"),
        ("faster", "rpn.head.shared.weight", "rpn_head.rpn_conv.weight"),
        ("faster", "rpn.head.objectness.bias", "rpn_head.rpn_cls.bias"),
        ("faster", "roi.head.second.weight", "roi_head.bbox_head.shared_fcs.1.weight"),
        ("faster", "roi.head.classification.bias", "roi_head.bbox_head.fc_cls.bias"),
        ("faster", "roi.head.box.weight", "roi_head.bbox_head.fc_reg.weight"),
        ("retina", "head.box_tower.convolutions.1.bias", "bbox_head.reg_convs.1.conv.bias"),
        ("retina", "head.classification.weight", "bbox_head.retina_cls.weight"),
        ("fcos", "head.classification_tower.norms.1.0.bias", "bbox_head.cls_convs.1.gn.bias"),
        ("fcos", "head.quality.weight", "bbox_head.conv_centerness.weight"),
        ("fovea", "head.classification.bias", "bbox_head.conv_cls.bias"),
        ("fovea", "head.box_tower.convolutions.0.weight", "bbox_head.reg_convs.0.conv.weight"),
        ("fovea", "neck.lateral.2.weight", "neck.lateral_convs.2.conv.weight"),
        ("fovea", "neck.context.join.bias", "neck.CAM.dila_conv.0.bias"),
        ("fovea", "neck.context.views.wide.1.weight", "neck.CAM.dila_conv.1.aspp.2.weight"),
        ("fovea", "neck.context.norm.running_var", "neck.CAM.dila_conv.3.running_var"),
        ("fovea", "neck.context.attend.3.weight", "neck.CAM.att_conv.3.weight"),
        ("cascade", "roi.stages.1.head.box.bias", "roi_head.bbox_head.1.fc_reg.bias"),
        ("cascade", "roi.stages.0.head.first.weight", "roi_head.bbox_head.0.shared_fcs.0.weight"),
    ],
)
def test_tensors_have_the_names_of_mmdet(name, ours, theirs):
    model = detector(name)
    published = tensors_of(model.state_dict(), LAYOUTS["mmdet"].keys(model))
    assert torch.equal(published[theirs], model.state_dict()[ours])


def test_scales_of_levels_are_tensors_of_their_own_in_mmdet():
    model = detector("fcos without norm")
    published = tensors_of(model.state_dict(), LAYOUTS["mmdet"].keys(model))
    assert published["bbox_head.scales.2.scale"] == model.state_dict()["head.scales"][2]
    del published["bbox_head.scales.2.scale"]
    assert read(published, model).missing == ("bbox_head.scales.2.scale",)


def test_older_names_of_mmdet_are_read():
    model = detector("fcos")
    published = tensors_of(model.state_dict(), LAYOUTS["mmdet"].keys(model))
    older = {name.replace(".conv_", ".fcos_"): value for name, value in published.items()}
    assert older.keys() != published.keys()
    found = read(older, model)
    assert not found.missing
    assert not found.left_over


def test_what_has_no_place_is_named_as_the_file_does():
    model = detector("retina")
    published = tensors_of(model.state_dict(), LAYOUTS["mmdet"].keys(model))
    tensors = {f"module.{name}": value for name, value in published.items()}
    tensors["ema.decay"] = torch.zeros(1)
    tensors["module.bbox_head.retina_iou.weight"] = torch.zeros(1)
    del tensors["module.bbox_head.retina_cls.bias"]
    found = read(tensors, model)
    assert found.missing == ("bbox_head.retina_cls.bias",)
    assert found.left_over == ("ema.decay", "module.bbox_head.retina_iou.weight")


def test_counters_of_batches_may_be_absent():
    model = detector("faster")
    published = tensors_of(model.state_dict(), LAYOUTS["mmdet"].keys(model))
    fewer = {name: v for name, v in published.items() if "num_batches_tracked" not in name}
    assert len(fewer) < len(published)
    assert not read(fewer, model).missing


def test_a_norm_that_the_file_shares_between_levels_goes_to_all_of_ours():
    shared = {"name": "retina", "norm": "batch"}
    model = randomized(build(dense(shared, fpn(), ANCHORS), 1))
    keys = LAYOUTS["mmdet"].keys(model)
    with pytest.raises(CheckpointError, match=r"one bbox_head.cls_convs.0.bn.weight for all lev"):
        tensors_of(model.state_dict(), keys)
    fresh = build(dense(shared, fpn(), ANCHORS), 1)
    published = tensors_of(fresh.state_dict(), keys)
    published["bbox_head.cls_convs.0.bn.weight"] = torch.rand(8)
    found = read(published, model)
    assert not found.missing
    for level in range(4):
        name = f"head.classification_tower.norms.0.{level}.weight"
        assert torch.equal(found.values[name], published["bbox_head.cls_convs.0.bn.weight"])


def test_a_part_without_published_names_is_refused():
    model = detector("retina")
    model.neck = nn.Conv2d(1, 1, 1)
    with pytest.raises(CheckpointError, match=r"^neck: mmdet has no Conv2d.*FPN, HRFPN"):
        LAYOUTS["mmdet"].keys(model)
    with pytest.raises(CheckpointError, match=r"^neck: torchvision has no Conv2d"):
        LAYOUTS["torchvision"].keys(model)
    with pytest.raises(CheckpointError, match=r"^roi.head: .* not those with a CascadeStage"):
        LAYOUTS["torchvision"].keys(detector("cascade"))
