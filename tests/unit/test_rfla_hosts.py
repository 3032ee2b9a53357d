"""Narrow hosts of receptive-field assignment learn from awkward images."""

import pytest
import torch

from tinyscope.detectors.build import build
from tinyscope.settings import load_recipe
from tinyscope.types import Target

TWO_STAGE = ("rpn.train_after=50", "rpn.test_after=50")
NARROW = {
    "faster_rcnn": (*TWO_STAGE, "roi.head.width=8"),
    "cascade_rcnn": (*TWO_STAGE, *(f"roi.stages.{i}.head.width=8" for i in range(3))),
    "retinanet": ("head.depth=1",),
    "fcos": ("head.depth=1",),
    "fcos_p2": ("head.depth=1",),
}


def narrow(host):
    shared = ("backbone.weights=null", "backbone.width=4", "neck.channels=8")
    changes = [f"model.{change}" for change in (*shared, *NARROW[host])]
    return build(load_recipe(f"ai_tod/{host}_rfla_resnet50", changes).model, 2)


def target(*boxes):
    rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    zeros = torch.zeros(len(rows), dtype=torch.int64)
    return Target(rows, zeros, zeros.bool())


@pytest.mark.parametrize("host", NARROW)
def test_a_step_is_finite_whatever_the_images_show(host):
    torch.manual_seed(0)
    detector = narrow(host).train()
    outputs = detector(torch.rand(3, 3, 64, 96) * 255)
    # In the last image no field fits: where borders matter it has no priors at all.
    targets = [target((10, 10, 12, 12), (90, 60, 96, 64)), target(), target((2, 2, 6, 6))]
    sizes = [(64, 96), (50, 70), (10, 10)]
    losses = detector.loss(outputs, targets, sizes)
    total = torch.stack(list(losses.values())).sum()
    assert total.isfinite()
    total.backward()
    gradients = [p.grad for p in detector.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("host", NARROW)
def test_nothing_is_found_outside_of_an_image(host):
    torch.manual_seed(0)
    detector = narrow(host).eval()
    with torch.no_grad():
        found = detector.decode(detector(torch.rand(1, 3, 64, 96) * 255), [(50, 70)], 0.0)[0]
    assert len(found) > 0
    assert (found.boxes >= 0).all()
    assert (found.boxes <= torch.tensor([70.0, 50, 70, 50])).all()
