"""Groups of classes in heads that score every prior."""

import pytest
import torch

from tinyscope.detectors.build import build
from tinyscope.nn.heads.class_sigmoid import ClassSigmoid
from tinyscope.nn.heads.group_sigmoid import BACKGROUND_PER_OBJECT, GroupSigmoid, joint_logits
from tinyscope.nn.heads.groups import ClassGroups
from tinyscope.settings import load_recipe
from tinyscope.types import Matches, Target

GROUPS = ClassGroups(((0,), (1, 2)), 3)


def layer(ratio: float = 8.0) -> GroupSigmoid:
    return GroupSigmoid(GROUPS, ratio, alpha=0.25, gamma=2.0)


def matches(labels: list[int], priors: int = 50) -> Matches:
    """Of an image whose first priors have these labels; the others are background."""
    count = len(labels)
    return Matches(
        torch.arange(count),
        torch.arange(count, priors),
        torch.tensor(labels, dtype=torch.int64),
        torch.zeros(count, 4),
    )


def test_logits_of_a_product_are_those_of_its_score():
    one, two = torch.randn(200).double() * 4, torch.randn(200).double() * 4
    product = one.sigmoid() * two.sigmoid()
    torch.testing.assert_close(joint_logits(one, two), product.logit())


@pytest.mark.parametrize("value", [-1000.0, 1000.0])
def test_logits_of_a_product_stay_finite(value):
    both = torch.tensor([value, 3.0])
    found = joint_logits(both, torch.tensor([value, 800.0]))
    assert found.isfinite().all()
    assert found[1].item() == pytest.approx(3.0)


def test_background_teaches_foreground_alone_without_objects():
    logits = torch.randn(2, 50, 4, requires_grad=True)
    layer().loss(logits, [matches([]), matches([])], torch.tensor(1.0)).backward()
    assert (logits.grad[..., 1:] == 0).all()
    assert (logits.grad[..., 0] != 0).all()


def test_a_group_learns_from_its_members_and_a_share_of_all_others():
    logits = torch.randn(1, 50, 4, requires_grad=True)
    layer(2.0).loss(logits, [matches([1, 2, 2])], torch.tensor(3.0)).backward()
    assert (logits.grad[..., 1] == 0).all()  # nothing of the first group is there
    learned = (logits.grad[0, :, 2:] != 0).all(dim=1)
    assert learned[:3].all()
    assert int(learned[3:].sum()) == 6


def test_others_are_found_among_objects_and_as_much_background_as_second_stages_sample():
    logits = torch.randn(1, 500, 4, requires_grad=True)
    layer(1000.0).loss(logits, [matches([0, 1, 2, 1], 500)], torch.tensor(4.0)).backward()
    learned = (logits.grad[0, :, 1:] != 0).all(dim=1)
    assert learned[:4].all()
    assert int(learned[4:].sum()) == BACKGROUND_PER_OBJECT * 4


def test_a_loss_counts_an_example_once_for_each_class_of_the_group():
    labels = torch.tensor([1, 0, 3])
    losses = layer().losses(torch.zeros(3, 3), labels)
    log2 = torch.tensor(2.0).log()
    torch.testing.assert_close(losses, torch.stack([log2, 2 * log2]))


def test_without_groups_a_head_learns_by_the_focal_loss_alone():
    plain = ClassSigmoid(3, alpha=0.25, gamma=2.0)
    logits = torch.randn(1, 50, 3)
    assert plain.class_logits(logits) is logits
    found = plain.loss(logits, [matches([1])], torch.tensor(2.0))
    torch.testing.assert_close(found * 2, plain.loss(logits, [matches([1])], torch.tensor(1.0)))


NARROW = ["model.backbone={name: resnet, depth: 18, width: 8}", "model.neck.channels=8"]


@pytest.mark.parametrize(
    "head", ["retina", "fcos", "fovea"], ids=lambda name: f"a detector with the head {name}"
)
def test_dense_detectors_learn_and_decode_with_groups(head):
    priors = {"retina": "{name: anchors, ratios: [1.0, 2.0]}"}.get(head, "{name: points}")
    coder = {"retina": "delta", "fcos": "distance", "fovea": "fovea"}[head]
    model = load_recipe(
        "quick/retinanet",
        [
            *NARROW,
            f"model.head={{name: {head}, depth: 1, groups: [[0], [1, 2]]}}",
            f"model.priors={priors}",
            f"model.coder={{name: {coder}}}",
            "model.assigner={name: max_iou, positive: 0.5, negative: 0.4, rescue: 0.0}",
            "model.score_threshold=0.0",
        ],
    ).model
    detector = build(model, 3)
    images = torch.rand(2, 3, 64, 64) * 255
    outputs = detector(images)
    start = detector.head.class_logits(outputs.logits).sigmoid()
    torch.testing.assert_close(start, torch.full_like(start, 0.005), atol=2e-3, rtol=0)
    one = Target(torch.tensor([[4.0, 4, 40, 40]]), torch.tensor([2]), torch.tensor([False]))
    losses = detector.loss(outputs, [one, Target.empty()], [(64, 64)] * 2)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert detector.head.classification.weight.grad.abs().sum() > 0
    found = detector.decode(outputs, [(64, 64)] * 2)
    assert {int(label) for label in found[0].labels} == {0, 1, 2}
