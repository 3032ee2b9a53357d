"""Published detectors of videos become ours, whole or in part."""

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

import tinyscope
from tinyscope.detectors.build import build
from tinyscope.detectors.published import LAYOUTS, tensors_of
from tinyscope.engine.import_checkpoint import import_checkpoint
from tinyscope.errors import CheckpointError
from tinyscope.settings import load_recipe

NAMES = ("car", "dog", "train")
MATCHING = {"assigner": {"name": "max_iou"}, "sampler": {"name": "all"}, "coder": {"name": "delta"}}
IMAGES = {
    "name": "two_stage",
    "backbone": {
        "name": "resnet",
        "depth": 50,
        "width": 4,
        "strides": [16],
        "dilations": [1, 1, 1, 2],
        "norm_eval": True,
    },
    "neck": {"name": "channel_mapper", "channels": 8},
    "rpn": {
        "name": "proposals",
        "head": {"name": "rpn"},
        "priors": {"name": "anchors", "sides": [[16, 32]]},
        **MATCHING,
    },
    "roi": {"name": "boxes", "head": {"name": "two_fc", "width": 16}, **MATCHING},
}
VIDEO = {
    "name": "video",
    "detector": IMAGES,
    "motion": {"name": "flownet", "width": 2},
    "aggregator": {"name": "embedding"},
}
CONFIG = """model = dict(backbone=dict(style='pytorch', strides=(1, 2, 2, 1), {}),
    neck=dict(aspp_dilations=(1, 3, 6, 1)))"""
DILATED, PLAIN = "dilations=(1, 1, 1, 2)", "dilations=(1, 1, 1, 1)"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = build(VIDEO, len(NAMES))
    for tensor in made.state_dict().values():
        if tensor.ndim > 1:
            nn.init.normal_(tensor, std=(1 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.1, 1)
    return made.eval()


@pytest.fixture
def file(model, tmp_path):
    return write(tmp_path, model)


def write(folder, model, dilations=DILATED):
    state = tensors_of(model.state_dict(), LAYOUTS["mmtracking"].keys(model))
    meta = {"CLASSES": NAMES, "config": CONFIG.format(dilations)}
    torch.save({"meta": meta, "state_dict": state}, folder / "fgfa.pth")
    return folder / "fgfa.pth"


def recipe(folder, model):
    whole = load_recipe("quick/faster_rcnn").model_dump(mode="json")
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**whole, "model": model}))
    return path


def test_a_published_detector_of_videos_gives_the_same_outputs(model, file, tmp_path):
    out = tmp_path / "ours.ckpt"
    done = import_checkpoint(file, recipe(tmp_path, VIDEO), out)
    assert (done.layout, done.names, done.tensors) == ("mmtracking", NAMES, len(model.state_dict()))
    loaded = tinyscope.load(out, device="cpu").model
    clip = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        outputs = [m(clip, (2,)) for m in (model, loaded)]
    assert torch.equal(outputs[0].proposals.logits, outputs[1].proposals.logits)


def test_its_detector_of_images_can_be_taken_alone(model, file, tmp_path):
    mine, out = recipe(tmp_path, IMAGES), tmp_path / "ours.ckpt"
    with pytest.raises(CheckpointError, match=r"layout mmdet, ignoring motion\. and aggregator\."):
        import_checkpoint(file, mine, out)
    parts = ("motion.", "aggregator.")
    done = import_checkpoint(file, mine, out, layout="mmdet", ignore=parts)
    assert all(name.startswith(parts) for name in done.ignored)
    state = tinyscope.load(out, device="cpu").model.state_dict()
    own = model.state_dict()
    assert all(torch.equal(value, own[f"detector.{name}"]) for name, value in state.items())


@pytest.mark.parametrize("of", [VIDEO, IMAGES], ids=["video", "images"])
def test_its_backbone_can_be_taken_alone(model, file, tmp_path, of):
    out = tmp_path / "backbone.safetensors"
    import_checkpoint(file, recipe(tmp_path, of), out, part="backbone")
    own = model.state_dict()
    for name, value in load_file(out).items():
        assert torch.equal(value, own[f"detector.{name}"])


def test_blue_first_turns_its_stem_round(model, file, tmp_path):
    out = tmp_path / "ours.ckpt"
    import_checkpoint(file, recipe(tmp_path, VIDEO), out, blue_first=True)
    stem = tinyscope.load(out, device="cpu").model.detector.backbone.conv1.weight
    assert torch.equal(stem, model.detector.backbone.conv1.weight.flip(1))


@pytest.mark.parametrize("theirs", [PLAIN, ""], ids=["stated", "left out"])
def test_a_backbone_that_is_not_dilated_is_told_by_the_config(model, tmp_path, theirs):
    file = write(tmp_path, model, theirs)
    with pytest.raises(CheckpointError, match=r"its backbone are not dilated, other than ours"):
        import_checkpoint(file, recipe(tmp_path, VIDEO), tmp_path / "ours.ckpt")


@pytest.mark.parametrize("theirs", [DILATED, "dilations=[1, 1, 1, 2]"])
def test_a_dilated_backbone_is_told_by_the_config(model, tmp_path, theirs):
    plain = {**IMAGES, "backbone": {**IMAGES["backbone"], "strides": [32], "dilations": None}}
    file, mine = write(tmp_path, model, theirs), recipe(tmp_path, {**VIDEO, "detector": plain})
    with pytest.raises(CheckpointError, match=r"its backbone are dilated, other than ours"):
        import_checkpoint(file, mine, tmp_path / "ours.ckpt")


def test_another_number_of_classes_is_told_as_such(file, tmp_path):
    mine, out = recipe(tmp_path, VIDEO), tmp_path / "ours.ckpt"
    with pytest.raises(CheckpointError, match="was trained for 3 classes, and 2 are named"):
        import_checkpoint(file, mine, out, names=("car", "dog"))


def test_groups_of_classes_start_from_it_instead(file, tmp_path):
    head = {**IMAGES["roi"]["head"], "groups": [[0, 2], [1]]}
    grouped = {**VIDEO, "detector": {**IMAGES, "roi": {**IMAGES["roi"], "head": head}}}
    with pytest.raises(CheckpointError, match=r"those of model\.detector\.roi\.head are in groups"):
        import_checkpoint(file, recipe(tmp_path, grouped), tmp_path / "ours.ckpt")
