import pytest
import torch
from torch import nn

from tinyscope import settings
from tinyscope.catalog import Table
from tinyscope.detectors.build import build
from tinyscope.detectors.dense import DenseDetector
from tinyscope.errors import SettingsError
from tinyscope.types import Target

FOVEA = {
    "name": "dense",
    "backbone": {"name": "resnet", "depth": 18, "width": 8},
    "neck": {"name": "sspnet", "channels": 8},
    "head": {"name": "fovea", "depth": 1},
    "priors": {"name": "points"},
    "assigner": {"name": "fovea"},
    "sampler": {"name": "all"},
    "coder": {"name": "fovea"},
}


class Silent(nn.Module):
    """A detector that knows nothing of the losses of necks."""

    def __init__(self, backbone: nn.Module, neck: nn.Module) -> None:
        super().__init__()


def test_a_detector_adds_the_losses_of_its_neck():
    detector = build(FOVEA, 1)
    assert isinstance(detector, DenseDetector)
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    losses = detector.loss(
        detector(images.expand(2, -1, -1, -1)), [Target.empty()] * 2, [(64, 64)] * 2
    )
    assert losses.keys() == {"classification", "box", "attention", "attention_dice"}


def test_a_detector_that_would_drop_them_is_refused(monkeypatch):
    monkeypatch.setitem(
        settings.TABLES, "model", Table("detector", {"silent": f"{__name__}:Silent"})
    )
    parts = {key: FOVEA[key] for key in ("backbone", "neck")}
    with pytest.raises(
        SettingsError, match=r"model\.neck: what sspnet emits .* silent does not add"
    ):
        build({"name": "silent", **parts}, 1)
    build({"name": "silent", **parts, "neck": {"name": "fpn", "channels": 8}}, 1)
