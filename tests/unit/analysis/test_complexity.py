"""Counts of small networks, which can be checked by hand."""

import pytest
import torch
from torch import nn

from tinyscope.analysis.complexity import complexity
from tinyscope.analysis.memory import saved_bytes
from tinyscope.analysis.operations import count_operations
from tinyscope.analysis.walk import part_of
from tinyscope.detectors.build import build
from tinyscope.errors import SettingsError
from tinyscope.nn.backbones.bottom_heavy import BottomHeavyResNet
from tinyscope.nn.backbones.resnet import ResNet
from tinyscope.nn.backbones.timm_model import TimmBackbone
from tinyscope.nn.blocks import ReluPool
from tinyscope.nn.switchable import SwitchableConvolution
from tinyscope.settings import load_recipe


def small(**options):
    return BottomHeavyResNet((2, 1), block="basic", width=4, **options)


def counted(network, *shape):
    network = network.to("meta")
    return count_operations(network, lambda n: network(torch.empty(n, *shape, device="meta")))


def test_operations_of_layers_are_those_of_the_published_convention():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, groups=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(8, 8, 1, groups=4, bias=False),
        nn.BatchNorm2d(8, affine=False),
        nn.MaxPool2d(1, 2),
        nn.Flatten(),
        nn.Linear(8 * 2 * 3, 5),
    )
    found = counted(network, 3, 4, 6)
    assert found.published == {
        "": {},
        "0": {"convolution": 24 * 8 * (27 + 1)},
        "1": {"norm": 2 * 192},
        "2": {"activation": 192},
        "3": {"pooling": 192},
        "4": {"upsampling": 192},
        "5": {"convolution": 192 * 2},
        "6": {"norm": 192},
        "7": {},
        "8": {},
        "9": {"linear": 48 * 5},
    }
    assert sum(found.multiply_adds.values()) == 24 * 8 * 27 + 192 * 2 + 48 * 5


def test_switchable_convolutions_count_as_the_plain_ones_they_are_made_of():
    found = counted(SwitchableConvolution(4, 6, 2, deformable=True), 4, 8, 10)
    cells, small = 8 * 10, 4 * 5
    multiply_adds = {
        "": 2 * small * 6 * 4 * 9,
        "switch": small * 4,
        "pre_context": 4 * 4,
        "post_context": 6 * 6,
        "offset_s": small * 18 * 4 * 9,
        "offset_l": small * 18 * 4 * 9,
    }
    assert found.multiply_adds == multiply_adds
    assert found.published[""] == {"convolution": multiply_adds[""]}
    assert found.published["switch"] == {"convolution": small * (4 + 1)}
    rigid = counted(SwitchableConvolution(4, 6, 2), 4, 8, 10)
    assert rigid.multiply_adds == {k: v for k, v in multiply_adds.items() if "offset" not in k}
    moving = SwitchableConvolution(4, 6, deformable=True).to("meta")
    images = torch.empty(2, 4, 8, 10, device="meta", requires_grad=True)
    kept = saved_bytes(moving, lambda: moving(images))
    assert sum(kept.values()) >= 4 * 2 * cells * (4 + 2 * 18 + 6)  # map, offsets, what is mixed


def test_the_relu_before_a_pooling_counts_on_the_larger_map():
    found = counted(nn.Sequential(ReluPool()), 8, 4, 6)
    assert found.published["0"] == {"pooling": 192, "activation": 192}


def test_batch_norms_are_left_as_they_were():
    network = small(norm_eval=True).to("meta").train()
    before = [m.training for m in network.modules()]
    counted(network, 3, 64, 64)
    assert [m.training for m in network.modules()] == before


def test_counts_grow_with_the_area():
    network = small()
    one, four = (complexity(network, size).together() for size in ((64, 64), (128, 128)))
    assert four.published == 4 * one.published
    assert four.parameters == one.parameters == sum(p.numel() for p in network.parameters())


def test_stages_are_parts_and_their_shares_sum_to_one():
    found = complexity(small(frozen_stages=0), (64, 96))
    assert [p.name for p in found.parts] == [
        f"backbone.{s}" for s in ("stem", "stage 1", "stage 2")
    ]
    assert list(found.shares) == ["stem", "stage 1", "stage 2"]
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.parts[0].trainable == 0
    assert [(level.stride, level.size) for level in found.levels] == [(4, (16, 24)), (8, (8, 12))]


def test_the_smallest_map_may_be_one_cell():
    assert complexity(small(norm_eval=True), (8, 8)).together().published > 0


def test_a_size_that_a_model_cannot_take_is_a_setting():
    hrnet = {"name": "hrnet", "width": 4}
    model = load_recipe("quick/small").model | {"backbone": hrnet}
    with torch.device("meta"):
        detector = build(model, 1)
    with pytest.raises(SettingsError, match=r"size 100x64: .*multiples of 32"):
        complexity(detector, (64, 100))


def test_a_detector_has_its_parts_and_half_precision_half_the_memory():
    with torch.device("meta"):
        detector = build(load_recipe("quick/small", ["model.backbone.width=8"]).model, 2)
    full, half = (complexity(detector, (64, 64), precision=p, batch=2) for p in ("32", "bf16"))
    assert [p.name for p in full.parts][-2:] == ["neck", "head"]
    total, lesser = full.together(), half.together()
    assert total.parameters == sum(p.numel() for p in detector.parameters())
    assert 0.5 <= lesser.saved_bytes / total.saved_bytes < 0.75


def test_levels_of_timm_have_no_known_field():
    with torch.device("meta"):
        found = complexity(TimmBackbone("resnet18", strides=[4, 8]), (64, 64))
    assert [level.field for level in found.levels] == [None, None]
    assert {"backbone.stem", "backbone.stage 1"} <= {p.name for p in found.parts}


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("backbone", "backbone.stem"),
        ("backbone.conv1", "backbone.stem"),
        ("backbone.first_pool.1", "backbone.stem"),
        ("backbone.layer2.0.conv1", "backbone.stage 2"),
        ("backbone.transition1.0", "backbone.stage 2"),
        ("backbone.stage4.0", "backbone.stage 4"),
        ("backbone.model.stages_0", "backbone.stage 1"),
        ("backbone.model.blocks.1", "backbone.blocks"),
        ("neck.lateral.0", "neck"),
    ],
)
def test_modules_belong_to_parts(path, part):
    assert part_of(path) == part


def test_a_map_that_two_operations_need_is_kept_once():
    network = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 2, 1))
    image = torch.zeros(1, 2, 6, 6)
    kept = saved_bytes(network, lambda: network(image))
    # The image, and the ReLU's output, which the ReLU itself and the next layer need.
    assert kept == {"0": 2 * 36 * 4, "1": 4 * 16 * 4}
    meta = network.to("meta")
    assert saved_bytes(meta, lambda: meta(image.to("meta"))) == kept


def test_frozen_parts_keep_nothing():
    assert complexity(small(frozen_stages=2), (64, 64)).together().saved_bytes == 0


def test_the_memory_of_one_image_is_what_each_of_several_adds():
    one, two, three = (complexity(small(), (64, 64), batch=n).together() for n in (1, 2, 3))
    assert three.saved_bytes - two.saved_bytes == two.saved_bytes - one.saved_bytes
    network, image = small().train(), torch.zeros(1, 3, 64, 64)
    assert one.saved_bytes == sum(saved_bytes(network, lambda: network(image)).values())


def test_an_antialiased_stem_is_one_part():
    found = complexity(BottomHeavyResNet((1, 1), width=8, antialias="haar"), (64, 64))
    assert list(found.shares) == ["stem", "stage 1", "stage 2"]
    found = complexity(ResNet(18, width=8, antialias="bior3.3"), (64, 64))
    assert list(found.shares)[:2] == ["stem", "stage 1"]


def test_a_detector_of_videos_is_that_of_images_with_one_other_frame():
    images = load_recipe("quick/small", ["model.backbone.width=8"]).model
    video = {
        "name": "video",
        "detector": images,
        "motion": {"name": "flownet", "width": 2},
        "aggregator": {"name": "embedding"},
    }
    with torch.device("meta"):
        single, whole = build(images, 2), build(video, 2)
    size = (64, 96)
    alone, found = complexity(single, size), complexity(whole, size)
    parts = {part.name: part for part in found.parts}
    for part in alone.parts:
        assert parts[part.name] == part
    assert parts.keys() - {part.name for part in alone.parts} == {"motion", "aggregator"}
    # The first convolution sees both frames at half their size, and halves it again.
    assert parts["motion"].multiply_adds > 6 * 2 * 49 * (64 // 4) * (96 // 4)
    channels = whole.aggregator.convolutions[0].in_channels
    cells = sum((64 // stride) * (96 // stride) for stride in single.neck.strides)
    assert parts["aggregator"].multiply_adds == 9 * channels**2 * cells
    total = found.together().parameters
    assert total == sum(p.numel() for p in whole.parameters())
    assert complexity(whole, size, precision="bf16").together().saved_bytes > 0
