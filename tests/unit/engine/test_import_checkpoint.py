"""Checkpoints of other frameworks become ours, or are refused with what does not fit."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import tinyscope
from tinyscope.detectors.build import build
from tinyscope.detectors.published import LAYOUTS, tensors_of
from tinyscope.engine.import_checkpoint import import_checkpoint
from tinyscope.errors import CheckpointError, SettingsError
from tinyscope.settings import load_recipe

SMALL = [
    "model.backbone.depth=18",
    "model.backbone.width=4",
    "model.neck.channels=8",
    "model.roi.head.width=16",
]
SMALL_FCOS = [
    "model.backbone={block: bottleneck, blocks: [1, 1, 1], width: 4, stem_width: 4}",
    "model.neck={norm: null, channels: 8}",
    "model.head={norm: none}",
]
NAMES = ("person", "boat")


def detector(recipe="quick/faster_rcnn", overrides=SMALL, classes=2):
    model = build(load_recipe(recipe, overrides).model, classes)
    for tensor in model.state_dict().values():
        if tensor.ndim > 1:
            nn.init.normal_(tensor, std=(1 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.1, 1)
    return model.eval()


def published(model):
    return tensors_of(model.state_dict(), LAYOUTS["mmdet"].keys(model))


def write(folder, state, **meta):
    path = folder / "published.pth"
    torch.save({"meta": {"epoch": 12, **meta}, "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return detector()


@pytest.fixture
def state(model):
    return published(model)


def test_an_imported_checkpoint_is_loaded_and_gives_the_same_outputs(model, state, tmp_path):
    file = write(tmp_path, state, CLASSES=NAMES, config="model = dict(style='pytorch')")
    out = tmp_path / "ours.ckpt"
    done = import_checkpoint(file, "quick/faster_rcnn", out, overrides=SMALL)
    assert (done.out, done.names, done.layout) == (out, NAMES, "mmdet")
    assert done.tensors == len(model.state_dict())
    loaded = tinyscope.load(out, device="cpu")
    assert loaded.names == NAMES
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        outputs, expected = loaded.model(images).proposals, model(images).proposals
    assert torch.equal(outputs.logits, expected.logits)
    assert torch.equal(loaded.model.roi.head.box.weight, model.roi.head.box.weight)
    assert loaded.predict(images[0]).names == NAMES


def test_the_recipe_of_an_imported_checkpoint_needs_no_other_file(state, tmp_path):
    file = write(tmp_path, state)
    weights = [*SMALL, "model.backbone.weights=of_another_machine.pth"]
    out = tmp_path / "ours.ckpt"
    import_checkpoint(file, "quick/faster_rcnn", out, names=NAMES, overrides=weights)
    assert tinyscope.load(out, device="cpu").recipe.model["backbone"]["weights"] is None


def run(file, tmp_path, **options):
    options = {"names": NAMES, "overrides": SMALL, **options}
    return import_checkpoint(file, "quick/faster_rcnn", tmp_path / "ours.ckpt", **options)


def test_what_does_not_fit_is_listed_for_both_sides(state, tmp_path):
    state = dict(state)
    weight = state.pop("roi_head.bbox_head.fc_reg.weight")
    state["roi_head.bbox_head.0.fc_reg.weight"] = weight
    state["neck.lateral_convs.0.conv.bias"] = torch.zeros(9)
    with pytest.raises(CheckpointError) as caught:
        run(write(tmp_path, state), tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[1:] == [
        "1 tensors are wanted and not in it:",
        "  roi_head.bbox_head.fc_reg.weight",
        "1 of its tensors have no place:",
        "  roi_head.bbox_head.0.fc_reg.weight",
        "1 tensors differ in shape:",
        "  neck.lateral.0.0.bias: (9,) in the file, (8,) in the model",
    ]
    assert not (tmp_path / "ours.ckpt").exists()


def test_long_lists_say_how_many_more_there_are(state, tmp_path):
    with pytest.raises(CheckpointError, match=r"wanted and not in it:(.*\n){41}.*and \d+ m"):
        run(write(tmp_path, state), tmp_path, overrides=SMALL[1:])


def test_tensors_are_left_out_on_demand_alone_and_named(state, tmp_path):
    file = write(tmp_path, {**state, "neck.CAM.att.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"no place:\n  neck.CAM.att.weight$"):
        run(file, tmp_path)
    done = run(file, tmp_path, ignore=["neck.CAM."])
    assert done.ignored == ("neck.CAM.att.weight",)
    assert "ignored: neck.CAM.att.weight" in str(done)


@pytest.mark.parametrize(("count", "recipe"), [(1, "faster_rcnn"), (3, "retinanet"), (3, "small")])
def test_a_wrong_number_of_classes_is_said(count, recipe, tmp_path):
    overrides = {"faster_rcnn": SMALL, "retinanet": SMALL[:3], "small": SMALL_FCOS}[recipe]
    file = write(tmp_path, published(detector(f"quick/{recipe}", overrides, count)))
    with pytest.raises(CheckpointError, match=f"trained for {count} classes, and 2 are named"):
        import_checkpoint(
            file, f"quick/{recipe}", tmp_path / "o.ckpt", names=NAMES, overrides=overrides
        )


def test_names_of_classes_must_come_from_somewhere_and_in_the_order_of_the_file(state, tmp_path):
    with pytest.raises(SettingsError, match=r"^names: .* does not say what its classes are"):
        run(write(tmp_path, state), tmp_path, names=None)
    file = write(tmp_path, state, CLASSES=["boat", "person"])
    with pytest.raises(SettingsError, match=r"in the order boat, person, not person, boat"):
        run(file, tmp_path)
    named = run(file, tmp_path, names=["ship", "walker"])
    assert named.names == ("ship", "walker")
    in_recipe = [*SMALL, "data.names=[a, b]"]
    assert run(file, tmp_path, names=None, overrides=in_recipe).names == ("a", "b")


def test_one_class_may_be_a_bare_word(tmp_path):
    file = write(tmp_path, published(detector(classes=1)), CLASSES="person")
    assert run(file, tmp_path, names=None).names == ("person",)


def test_a_file_of_which_nothing_matches_is_refused(tmp_path):
    file = write(tmp_path, {"encoder.a": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"nothing in it matches; it holds encoder.a"):
        run(file, tmp_path)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("code of a file was executed",)


def test_code_in_a_file_is_not_executed(state, tmp_path):
    file = write(tmp_path, state, hook=Bomb())
    with pytest.raises(CheckpointError, match=r"holds more than tensors \(_pytest"):
        run(file, tmp_path)
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        backbone(file, tmp_path)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    file = tmp_path / "picture.pth"
    file.write_bytes(b"\x89PNG and so on")
    with pytest.raises(CheckpointError, match=r"picture.pth is damaged"):
        run(file, tmp_path)
    with pytest.raises(CheckpointError, match=r"no file at .*absent.pth"):
        run(tmp_path / "absent.pth", tmp_path)


def test_a_checkpoint_of_ours_is_known(state, tmp_path):
    done = run(write(tmp_path, state), tmp_path)
    with pytest.raises(CheckpointError, match="of tinyscope already"):
        import_checkpoint(done.out, "quick/faster_rcnn", tmp_path / "b.ckpt", overrides=SMALL)
    with pytest.raises(CheckpointError, match="is the file that is read"):
        import_checkpoint(done.out, "quick/faster_rcnn", done.out, overrides=SMALL)


def test_the_file_of_a_classifier_gives_its_backbone(model, tmp_path):
    state = {f"backbone.{name}": value for name, value in model.backbone.state_dict().items()}
    file = write(tmp_path, {**state, "head.fc.weight": torch.zeros(10, 32)})
    with pytest.raises(CheckpointError, match=r"holds a backbone alone; import that part"):
        run(file, tmp_path, ignore=["head."])
    out = tmp_path / "backbone.safetensors"
    done = import_checkpoint(file, "quick/faster_rcnn", out, overrides=SMALL, part="backbone")
    assert (done.part, done.tensors) == ("backbone", 100)
    assert load_file(out).keys() == state.keys()
    again = load_recipe("quick/faster_rcnn", [*SMALL, f"model.backbone.weights={out}"])
    found = build(again.model, 1).backbone.state_dict()
    assert all(torch.equal(found[n], value) for n, value in model.backbone.state_dict().items())


def test_the_backbone_of_a_detector_can_be_taken(state, tmp_path):
    out = tmp_path / "backbone.safetensors"
    file = tmp_path / "published.safetensors"
    save_file(state, file)
    import_checkpoint(file, "quick/faster_rcnn", out, overrides=SMALL, part="backbone")
    assert torch.equal(load_file(out)["backbone.conv1.weight"], state["backbone.conv1.weight"])
    with pytest.raises(CheckpointError, match="of another model"):
        import_checkpoint(
            file,
            "quick/faster_rcnn",
            out,
            overrides=[*SMALL, "model.backbone.width=8"],
            part="backbone",
        )


def test_an_hrnet_leaves_its_classifier_behind(tmp_path):
    hrnet = "model.backbone={name: hrnet, width: 1}"
    backbone = detector(overrides=[hrnet, "model.neck.channels=8"], classes=1).backbone
    extra = {"incre_modules.0.0.conv1.weight": torch.zeros(2), "classifier.bias": torch.zeros(2)}
    file = write(tmp_path, {**backbone.state_dict(), **extra})
    out = tmp_path / "backbone.safetensors"
    done = import_checkpoint(file, "quick/faster_rcnn", out, overrides=[hrnet], part="backbone")
    assert done.ignored == tuple(extra)
    assert torch.equal(
        load_file(out)["backbone.stage4.2.fuse_layers.3.0.2.0.weight"],
        backbone.state_dict()["stage4.2.fuse_layers.3.0.2.0.weight"],
    )


def test_a_network_of_blue_green_red_gives_the_same_for_turned_images(model, state, tmp_path):
    done = run(write(tmp_path, state), tmp_path, blue_first=True)
    ours = tinyscope.load(done.out, device="cpu").model
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        found, expected = ours.backbone(images)[-1], model.backbone(images.flip(1))[-1]
    torch.testing.assert_close(found, expected)


def test_other_constants_in_the_norms_are_taken_up_by_their_weights(model, state, tmp_path):
    done = run(write(tmp_path, state), tmp_path, norm_eps=1e-2)
    ours = tinyscope.load(done.out, device="cpu").model
    theirs = detector()
    theirs.load_state_dict(model.state_dict())
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-2
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        found, expected = ours.backbone(images)[-1], theirs.backbone(images)[-1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)
    assert not torch.allclose(expected, model.backbone(images)[-1], rtol=1e-3)
    with pytest.raises(SettingsError, match=r"^norm_eps: got -0.1"):
        run(tmp_path / "published.pth", tmp_path, norm_eps=-0.1)


FITTING = "bbox_head=dict(norm_on_bbox=True, centerness_on_reg = True)\nto_rgb=True"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (FITTING + "style='caffe'", "stride stands in the first 1x1 convolution"),
        (FITTING.replace("rgb=True", "rgb=False"), "takes blue, green, red"),
        (FITTING.replace("_reg = True", "_reg=False"), "quality comes from the tower of the cl"),
        (FITTING.replace("_bbox=True", "_bbox=False"), "exponentials in pixels"),
    ],
    ids=["stride", "colors", "quality", "distances"],
)
def test_a_config_that_contradicts_our_network_is_refused(config, message, tmp_path):
    state = published(detector("quick/small", SMALL_FCOS, 1))
    options = {"names": ["person"], "overrides": SMALL_FCOS}
    out = tmp_path / "ours.ckpt"
    with pytest.raises(CheckpointError, match=re.escape("its own config says")) as caught:
        import_checkpoint(write(tmp_path, state, config=config), "quick/small", out, **options)
    assert message in str(caught.value)
    assert not out.exists()
    import_checkpoint(write(tmp_path, state, config=FITTING), "quick/small", out, **options)


def backbone(file, tmp_path, **options):
    options = {"overrides": SMALL, "part": "backbone", **options}
    out = tmp_path / "new" / "backbone.safetensors"
    done = import_checkpoint(file, "quick/faster_rcnn", out, **options)
    return done, load_file(out)


def test_a_backbone_alone_is_adjusted_as_in_a_detector(model, tmp_path):
    file = write(tmp_path, model.backbone.state_dict())
    _, plain = backbone(file, tmp_path)
    _, adjusted = backbone(file, tmp_path, blue_first=True, norm_eps=1e-2)
    assert torch.equal(adjusted["backbone.conv1.weight"], plain["backbone.conv1.weight"].flip(1))
    variance = plain["backbone.bn1.running_var"]
    expected = plain["backbone.bn1.weight"] * ((variance + 1e-5) / (variance + 1e-2)).sqrt()
    torch.testing.assert_close(adjusted["backbone.bn1.weight"], expected)


def test_the_config_of_a_backbone_is_heeded(model, tmp_path):
    file = write(tmp_path, model.backbone.state_dict(), config="to_rgb=False")
    with pytest.raises(CheckpointError, match="its own config says to_rgb=False"):
        backbone(file, tmp_path)
    assert not (tmp_path / "new").exists()
    done, _ = backbone(file, tmp_path, blue_first=True)
    assert done.layout is None
    assert str(done).startswith("100 tensors of a backbone\n")


def test_options_that_a_backbone_does_not_have_are_refused(model, tmp_path):
    file = write(tmp_path, model.backbone.state_dict())
    with pytest.raises(SettingsError, match="names: a backbone has no classes"):
        backbone(file, tmp_path, names=["x"])
    with pytest.raises(SettingsError, match="layout: names of backbones are alike in all"):
        backbone(file, tmp_path, layout="torchvision")
    with pytest.raises(SettingsError, match=r"ignore: no tensor of .* begins with 'zzz'"):
        backbone(file, tmp_path, ignore=["zzz"])


def test_what_a_backbone_has_no_place_for_is_left_out_on_demand_alone(model, tmp_path):
    file = write(tmp_path, {**model.backbone.state_dict(), "other.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"1 of its tensors have no place: other.weight;"):
        backbone(file, tmp_path)
    done, _ = backbone(file, tmp_path, ignore=["other."])
    assert done.ignored == ("other.weight",)


def test_stages_that_are_not_built_are_left_out(model, tmp_path):
    file = write(tmp_path, model.backbone.state_dict())
    cut = [*SMALL, "model.backbone.strides=[4, 8]"]
    done, state = backbone(file, tmp_path, overrides=cut)
    assert not any("layer3" in name for name in state)
    assert "layer3.0.conv1.weight" in done.ignored


@pytest.mark.parametrize(("part", "name"), [("backbone", "b.ckpt"), ("detector", "d.safetensors")])
def test_the_file_to_write_must_end_as_its_part_does(part, name, state, tmp_path):
    with pytest.raises(SettingsError, match=f"the file of a {part} must end in"):
        import_checkpoint(
            write(tmp_path, state), "quick/faster_rcnn", tmp_path / name, part=part, names=NAMES
        )


def test_folders_are_made_or_the_reason_is_said(state, tmp_path):
    file = write(tmp_path, state)
    out = tmp_path / "a" / "b" / "ours.ckpt"
    import_checkpoint(file, "quick/faster_rcnn", out, names=NAMES, overrides=SMALL)
    assert out.exists()
    with pytest.raises(CheckpointError, match="its folder cannot be made"):
        import_checkpoint(file, "quick/faster_rcnn", file / "x.ckpt", names=NAMES, overrides=SMALL)


def test_names_and_beginnings_that_mean_nothing_are_refused(state, tmp_path):
    file = write(tmp_path, state)
    with pytest.raises(SettingsError, match="names: 'a' stands there twice"):
        run(file, tmp_path, names=["a", "a"])
    with pytest.raises(SettingsError, match="ignore: an empty beginning"):
        run(file, tmp_path, ignore=[""])
    with pytest.raises(SettingsError, match=r"ignore: no tensor of .* begins with 'backbone.'"):
        run(file, tmp_path, ignore=["backbone."])


AGNOSTIC = [*SMALL, "model.roi.head.per_class=false"]


@pytest.mark.parametrize(
    ("theirs", "ours", "classes", "message"),
    [
        (AGNOSTIC, SMALL, 2, "recipe: its boxes are the same for all .*per_class=false"),
        (SMALL, AGNOSTIC, 2, "recipe: it has boxes for every class; .*per_class=true"),
        (AGNOSTIC, SMALL, 3, "trained for 3 classes, and 2 are named; .*per_class=false"),
    ],
)
def test_boxes_of_all_classes_are_told_from_those_of_each(theirs, ours, classes, message, tmp_path):
    file = write(tmp_path, published(detector(overrides=theirs, classes=classes)))
    with pytest.raises(CheckpointError, match=message):
        run(file, tmp_path, overrides=ours)


def cascade(**head):
    model = load_recipe("quick/faster_rcnn", SMALL).model
    stage = model["roi"] | {"head": {"name": "two_fc", "width": 16, **head}}
    return [*SMALL[:3], f"model.roi={json.dumps({'name': 'cascade', 'stages': [stage, stage]})}"]


@pytest.mark.parametrize(
    ("head", "classes", "message"),
    [
        ({"per_class": False}, 2, "set model.roi.stages.0.head.per_class=false"),
        ({}, 3, "trained for 3 classes, and 2 are named"),
    ],
)
def test_a_misfit_of_a_cascade_is_told_by_its_stages(head, classes, message, tmp_path):
    file = write(tmp_path, published(detector(overrides=cascade(**head), classes=classes)))
    with pytest.raises(CheckpointError, match=message):
        run(file, tmp_path, overrides=cascade())


def test_two_anchors_of_one_class_are_no_background(tmp_path):
    two = [*SMALL[:3], "model.priors={name: anchors, scale: 4, ratios: [0.5, 2.0]}"]
    file = write(tmp_path, published(detector("quick/retinanet", two, 3)))
    with pytest.raises(CheckpointError, match="trained for 3 classes, and 1 are named"):
        import_checkpoint(
            file, "quick/retinanet", tmp_path / "o.ckpt", names=["person"], overrides=two
        )
