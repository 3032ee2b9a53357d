"""Normalized images (b, 3, h, w) to levels; a backbone says its `channels` and `strides`."""

from tinyscope.catalog import Table

BACKBONES = Table(
    "backbone",
    {
        "resnet": "tinyscope.nn.backbones.resnet:ResNet",
        "bottom_heavy": "tinyscope.nn.backbones.bottom_heavy:BottomHeavyResNet",
        "hrnet": "tinyscope.nn.backbones.hrnet:HRNet",
        "bottom_heavy_hrnet": "tinyscope.nn.backbones.bottom_heavy_hrnet:BottomHeavyHRNet",
        "timm": "tinyscope.nn.backbones.timm_model:TimmBackbone",
    },
)
