"""A detector whose neck looks at the image again, from settings to a step of training."""

import pytest
import torch

from tinyscope.analysis.complexity import complexity
from tinyscope.detectors.build import build
from tinyscope.detectors.published import LAYOUTS, fit, tensors_of
from tinyscope.detectors.published.adjust import with_red_first
from tinyscope.engine.detector import without_files
from tinyscope.errors import CheckpointError, SettingsError
from tinyscope.settings import check_part
from tinyscope.types import Target

BACKBONE = {"name": "resnet", "depth": 50, "width": 4, "convolution": "switchable_deformable"}
FPN = {"name": "fpn", "channels": 8, "finest": 8, "coarsest": 32}
SHORT = {**BACKBONE, "strides": [4, 8, 16]}
MODEL = {
    "name": "dense",
    "backbone": {**BACKBONE, "strides": [1, 4, 8, 16]},
    "neck": {"name": "rfp", "backbone": SHORT, "neck": FPN},
    "head": {"name": "fcos", "depth": 1, "norm": "none"},
    "priors": {"name": "points"},
    "assigner": {"name": "center"},
    "sampler": {"name": "all"},
    "coder": {"name": "distance"},
}


def changed(**options):
    return {**MODEL, "neck": {**MODEL["neck"], **options}}


def test_it_takes_a_step_and_finds_boxes():
    detector = build(MODEL, 2).train()
    sizes = [(64, 96), (60, 90)]
    boxes = torch.tensor([[10.0, 10, 30, 28]])
    some = Target(boxes, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.bool))
    outputs = detector(torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8))
    losses = detector.loss(outputs, [some, Target.empty()], sizes)
    sum(losses.values()).backward()
    gradients = {name: p.grad for name, p in detector.named_parameters()}
    fed = [name for name in gradients if name.startswith(("neck.backbone.", "neck.feedback."))]
    assert fed
    assert all(gradients[name] is not None for name in fed)
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients.values())
    assert len(detector.decode(outputs, sizes)) == 2


def test_parts_inside_a_neck_are_checked_and_filled_in():
    checked = check_part(MODEL, "model", "model")
    assert checked["neck"]["backbone"]["norm"] == "batch"
    assert checked["neck"]["neck"]["extra"] == "subsample"
    assert checked["neck"]["zero_init_feedback"] is True
    assert check_part(checked, "model", "model") == checked


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (changed(backbone={**SHORT, "dept": 18}), r"model.neck.backbone.dept: no such option"),
        (changed(neck={"name": "fpm"}), r"model.neck.neck.name: no neck named 'fpm'.*fpn"),
        (changed(backbone=None), r"model.neck.backbone: must be given, rfp needs one"),
        (changed(neck={**FPN, "finest": 2}), r"model.neck.neck: finest 2 is no stride"),
        (changed(in_channels=[3]), r"model.neck.in_channels: follows from the other parts"),
        ({**MODEL, "backbone": SHORT}, r"model.neck: .* give it strides \[1, 4, 8, 16\]"),
        ({**MODEL, "neck": FPN | {"finest": None}}, r"model.neck: .* got \(1, 4, 8, 16\)"),
    ],
)
def test_what_is_wrong_inside_is_named_by_its_place(model, words):
    with pytest.raises(SettingsError, match=words):
        build(model, 1)


def test_a_plain_neck_may_leave_the_images_out():
    with torch.device("meta"):
        neck = build({**MODEL, "neck": FPN}, 1).neck
    assert neck.strides == (8, 16, 32)


def test_files_of_weights_are_left_out_inside_too():
    model = without_files(changed(backbone={**SHORT, "weights": "nowhere.pth"}))
    assert "weights" not in model["neck"]["backbone"]
    with pytest.raises(CheckpointError, match=r"no file at nowhere\.pth"):
        build(changed(backbone={**SHORT, "weights": "nowhere.pth"}), 1)


def test_its_published_names_come_back():
    detector = build(changed(zero_init_feedback=False), 3)
    state = detector.state_dict()
    keys = LAYOUTS["mmdet"].keys(detector)
    names = {name for entry in keys.values() for name in entry.names}
    assert "neck.rfp_modules.0.layer3.0.rfp_conv.bias" in names
    assert "neck.rfp_modules.0.layer1.0.conv2.weight_gamma" in names
    assert "neck.rfp_aspp.aspp.3.weight" in names
    assert "neck.lateral_convs.1.conv.weight" in names
    found = fit(tensors_of(state, keys), keys, lambda name: name)
    assert found.missing == found.left_over == ()
    assert found.values.keys() == state.keys()
    assert all(torch.equal(found.values[name], value) for name, value in state.items())


def test_both_stems_are_turned_to_red_first():
    values = {
        "backbone.conv1.weight": torch.rand(4, 3, 7, 7),
        "neck.backbone.conv1.weight": torch.rand(4, 3, 7, 7),
        "neck.gate.weight": torch.rand(1, 8, 1, 1),
    }
    turned = with_red_first(values)
    for name, value in values.items():
        expected = value if "gate" in name else value.flip(1)
        assert torch.equal(turned[name], expected)


def test_both_looks_and_both_pyramids_are_counted():
    with torch.device("meta"):
        detector = build(MODEL, 1)
        once = build({**MODEL, "backbone": SHORT, "neck": FPN}, 1)
    size = (96, 128)
    twice, single = complexity(detector, size), complexity(once, size)
    assert [(level.stride, level.channels, level.field) for level in twice.levels][:2] == [
        (1, 3, 1),
        (4, 16, 35),
    ]
    backbone = single.together("backbone").multiply_adds
    assert twice.together("backbone").multiply_adds == backbone
    neck = single.together("neck").multiply_adds
    cells = [(size[0] // s) * (size[1] // s) for s in (8, 16)]
    views = sum(n * 8 * 2 * (1 + 9 + 9) for n in cells) + 2 * 8 * 2  # and the mean's, per level
    feedback = sum(n * 8 * c for n, c in zip(cells, (32, 64), strict=True))
    gate = 8 * (sum(cells) + (size[0] // 32) * (size[1] // 32))
    assert twice.together("neck").multiply_adds == backbone + 2 * neck + views + feedback + gate
