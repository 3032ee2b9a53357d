import pytest
import timm
import torch
from safetensors.torch import save_file

from tinyscope.errors import CheckpointError, SettingsError
from tinyscope.nn.backbones.timm_model import TimmBackbone


@pytest.mark.parametrize("model", ["resnet18", "convnext_atto", "mobilenetv3_small_050"])
def test_a_classification_checkpoint_fills_the_backbone(model, tmp_path):
    whole = timm.create_model(model, pretrained=False).eval()
    save_file(whole.state_dict(), tmp_path / "whole.safetensors")
    backbone = TimmBackbone(model, weights=tmp_path / "whole.safetensors").eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = whole.forward_intermediates(images, intermediates_only=True)
        found = backbone(images)
    assert backbone.strides == (4, 8, 16, 32)
    # A model may list maps between its stages too; the end of a stage is the last of its size.
    by_size = {level.shape[-1]: level for level in expected}
    for level in found[:-1]:
        torch.testing.assert_close(level, by_size[level.shape[-1]])


@pytest.mark.parametrize("prefix", ["model/backbone.model.", "backbone.model.", "model."])
@pytest.mark.parametrize("model", ["resnet18", "convnext_atto"])
def test_a_checkpoint_of_our_own_fills_the_backbone(model, prefix, tmp_path):
    trained = TimmBackbone(model)
    held = {f"{prefix}{name}": value for name, value in trained.model.state_dict().items()}
    held |= {"model/head.weight": torch.rand(2, 3), "model/normalize.mean": torch.rand(3)}
    save_file(held, tmp_path / "best.ckpt")
    backbone = TimmBackbone(model, strides=(4, 8), weights=tmp_path / "best.ckpt")
    taken = backbone.state_dict()
    assert taken
    for name, value in taken.items():
        assert value.equal(trained.state_dict()[name]), name


def test_levels_of_a_model_with_channels_last_are_turned():
    backbone = TimmBackbone("swin_tiny_patch4_window7_224", strides=(4, 8)).eval()
    assert [tuple(x.shape) for x in backbone(torch.rand(1, 3, 224, 224))] == [
        (1, 96, 56, 56),
        (1, 192, 28, 28),
    ]


def test_weights_of_another_model_are_refused(tmp_path):
    save_file(timm.create_model("resnet18").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"nothing in .* matches"):
        TimmBackbone("convnext_atto", weights=tmp_path / "w.safetensors")


def test_an_unknown_model_or_level_is_named():
    with pytest.raises(SettingsError, match="timm has no model 'resnet81'"):
        TimmBackbone("resnet81")
    with pytest.raises(SettingsError, match=r"strides \(3,\) must be some of resnet18's \(2, 4"):
        TimmBackbone("resnet18", strides=(3,))
