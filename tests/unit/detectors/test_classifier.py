"""A classifier is a backbone, means and one linear layer; its backbone keeps its names."""

import pytest
import torch
from torch.nn import functional

from tinyscope.detectors.build import build_classifier
from tinyscope.errors import SettingsError

SMALL = {"name": "bottom_heavy", "block": "basic", "blocks": [1, 1, 1], "width": 8}


def classifier(classes=7, **options):
    return build_classifier({"name": "classifier", "backbone": SMALL, **options}, classes)


@pytest.mark.parametrize(("levels", "features"), [("last", 32), ("all", 8 + 16 + 32)])
@pytest.mark.parametrize("size", [(32, 32), (1, 1), (37, 5)])
def test_images_of_any_size_give_logits(levels, features, size):
    model = classifier(levels=levels).eval()
    assert model.head.in_features == features
    logits = model(torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


def test_logits_are_those_of_the_mean_over_cells():
    model = classifier().eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    coarsest = model.backbone(model.normalize(images))[-1]
    torch.testing.assert_close(model(images), model.head(coarsest.mean(dim=(2, 3))))


def test_logits_of_reduced_precision_are_float32_and_do_not_tie():
    model = classifier(classes=500).eval()
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(images)
    assert logits.dtype == torch.float32
    assert all(len(row.unique()) > 490 for row in logits)


def test_the_loss_is_cross_entropy():
    logits, labels = torch.randn(5, 7), torch.randint(0, 7, (5,))
    (loss,) = classifier().loss(logits, labels).values()
    torch.testing.assert_close(loss, functional.cross_entropy(logits, labels))
    (smooth,) = classifier(label_smoothing=0.1).loss(logits, labels).values()
    torch.testing.assert_close(
        smooth, functional.cross_entropy(logits, labels, label_smoothing=0.1)
    )


def test_every_parameter_learns():
    model = classifier()
    for module in model.modules():  # blocks start as their shortcuts: nothing would get through
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    model.loss(model(images), torch.arange(4))["classification"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label_smoothing": 2}, r"model\.label_smoothing: got 2; must be less than or equal to 1"),
        ({"levels": "first"}, r"model\.levels: got 'first'; must be 'last' or 'all'"),
        ({"classes": 3}, r"model\.classes: follows from the other parts"),
        ({"neck": {"name": "fpn"}}, r"model\.neck: no such option of classifier"),
        ({"backbone": {**SMALL, "widht": 8}}, r"model\.backbone\.widht: .* did you mean width"),
    ],
)
def test_a_wrong_option_is_named(change, words):
    with pytest.raises(SettingsError, match=words):
        build_classifier({"name": "classifier", "backbone": SMALL, **change}, 7)
