"""Groups of classes in second stages, one or several."""

import pytest
import torch

from tinyscope.detectors.build import build
from tinyscope.errors import SettingsError
from tinyscope.settings import load_recipe
from tinyscope.types import Target

NARROW = ["model.backbone={name: resnet, depth: 18, width: 8}", "model.neck.channels=8"]
NARROW += ["model.rpn.train_after=20", "model.rpn.test_after=20", "model.roi.sampler.count=24"]
HEAD = "name: two_fc, width: 8, groups: "
CASCADE = (
    "model.roi={name: cascade, average: %s, stages: ["
    "{name: boxes, head: {%s}, assigner: {name: max_iou, positive: 0.5, negative: 0.5}, "
    "sampler: {name: random, count: 24}, coder: {name: delta}}, "
    "{name: boxes, head: {%s}, assigner: {name: max_iou, positive: 0.6, negative: 0.6}, "
    "sampler: {name: random, count: 24}, coder: {name: delta}, score_threshold: 0.0}]}"
)
ONE, OTHER = HEAD + "[[0, 2], [1]]", HEAD + "[[0], [1, 2]]"
STAGES = {
    "one": [f"model.roi.head={{{ONE}}}", "model.roi.score_threshold=0.0"],
    "cascade by scores": [CASCADE % ("scores", ONE, OTHER)],
    "cascade by logits": [CASCADE % ("logits", ONE, ONE)],
}


def detector(overrides: list[str]) -> torch.nn.Module:
    narrow = NARROW if "cascade" not in overrides[0] else NARROW[:-1]
    return build(load_recipe("quick/faster_rcnn", [*narrow, *overrides]).model, 3)


@pytest.mark.parametrize("stages", STAGES)
def test_second_stages_learn_and_decode_with_groups(stages):
    model = detector(STAGES[stages])
    outputs = model(torch.rand(2, 3, 64, 64) * 255)
    one = Target(torch.tensor([[4.0, 4, 40, 40]]), torch.tensor([2]), torch.tensor([False]))
    losses = model.loss(outputs, [one, Target.empty()], [(64, 64), (60, 50)])
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    for name, parameter in model.roi.named_parameters():
        assert parameter.grad is not None, name
    found = model.decode(outputs, [(64, 64), (60, 50)])
    # Of no distribution, but of foreground times a share in a group: never above 1.
    assert all((f.scores > 0).all() and (f.scores <= 1).all() for f in found)
    assert {int(label) for label in found[0].labels} == {0, 1, 2}


def test_logits_of_different_groups_have_no_mean():
    with pytest.raises(SettingsError, match=r"^model\.roi: average is logits, but the heads"):
        detector([CASCADE % ("logits", ONE, OTHER)])


def test_the_groups_must_divide_the_classes_of_the_data():
    with pytest.raises(SettingsError, match=r"^model\.roi\.head: groups: of the labels \[2\]"):
        detector([f"model.roi.head={{{HEAD}[[0], [1]]}}"])
