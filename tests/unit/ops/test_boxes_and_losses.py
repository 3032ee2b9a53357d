import pytest
import torch
from torchvision.ops import box_iou, sigmoid_focal_loss

from tinyscope.ops.boxes import (
    box_areas,
    clip_boxes,
    covered_fractions,
    overlaps,
    paired_overlaps,
)
from tinyscope.ops.distributed import shared_count
from tinyscope.ops.losses import delta_loss, focal_loss


def some_boxes(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 100
    return torch.cat([corners, corners + torch.rand(count, 2, generator=generator) * 30], dim=1)


def test_overlaps_equal_torchvision():
    a, b = some_boxes(50, 0), some_boxes(60, 1)
    torch.testing.assert_close(overlaps(a, b), box_iou(a, b))
    torch.testing.assert_close(paired_overlaps(a, b[:50]), box_iou(a, b).diagonal())


def test_empty_boxes_overlap_nothing():
    point = torch.tensor([[5.0, 5, 5, 5]])
    assert overlaps(point, point).item() == 0
    assert covered_fractions(point, torch.tensor([[0.0, 0, 9, 9]])).item() == 0
    assert box_areas(torch.tensor([[3.0, 3, 1, 9]])).item() == 0


def test_covered_fractions_divide_by_the_first_box():
    inner, outer = torch.tensor([[2.0, 2, 4, 4]]), torch.tensor([[0.0, 0, 3, 10]])
    assert covered_fractions(inner, outer).item() == pytest.approx(0.5)
    assert covered_fractions(outer, inner).item() == pytest.approx(2 / 30)


def test_clipping_stays_in_the_image():
    boxes = clip_boxes(torch.tensor([[-3.0, 2, 50, 70]]), (40, 30))
    assert boxes.tolist() == [[0.0, 2.0, 30.0, 40.0]]


@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_focal_loss_and_its_gradient_equal_torchvision(gamma):
    torch.manual_seed(0)
    logits = (torch.randn(40, 3) * 6).requires_grad_()
    targets = (torch.rand(40, 3) > 0.7).float()
    ours = focal_loss(logits, targets, alpha=0.25, gamma=gamma)
    theirs = sigmoid_focal_loss(logits, targets, alpha=0.25, gamma=gamma)
    torch.testing.assert_close(ours, theirs)
    mine = torch.autograd.grad(ours.sum(), logits)[0]
    torch.testing.assert_close(mine, torch.autograd.grad(theirs.sum(), logits)[0])


def test_focal_loss_of_hopeless_logits_is_finite():
    logits = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([[0.0], [1.0]]), alpha=0.25, gamma=2.0).sum()
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_delta_loss_is_absolute_difference_without_beta():
    loss = delta_loss(torch.tensor([[1.0, 2, 3, 4]]), torch.zeros(1, 4), beta=0.0)
    assert loss.tolist() == [10.0]


def test_counts_have_a_floor():
    assert shared_count(torch.tensor(0)).item() == 1
    assert shared_count(torch.tensor(7)).item() == 7
    assert shared_count(torch.tensor(0.25), floor=1e-6).item() == 0.25
