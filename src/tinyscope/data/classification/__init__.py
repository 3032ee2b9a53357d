"""Images with one label each, from files to batches; what backbones are pre-trained on.

The tables name what settings may ask for.
"""

from tinyscope.catalog import Table

IMAGE_SETS = Table(
    "image set",
    {
        "folder": "tinyscope.data.classification.folders:folder",
        "archive": "tinyscope.data.classification.archive:archive",
        "cifar10": "tinyscope.data.classification.cifar:cifar10",
        "cifar100": "tinyscope.data.classification.cifar:cifar100",
        "imagenet32": "tinyscope.data.classification.imagenet32:imagenet32",
    },
)

AUGMENTATIONS = Table(
    "augmentation",
    {
        "flip": "tinyscope.data.classification.augment:Flip",
        "crop": "tinyscope.data.classification.augment:Crop",
        "resized_crop": "tinyscope.data.classification.library:resized_crop",
        "resize": "tinyscope.data.classification.library:resize",
        "center_crop": "tinyscope.data.classification.library:center_crop",
        "jitter": "tinyscope.data.classification.library:jitter",
        "trivial_augment": "tinyscope.data.classification.library:trivial_augment",
        "rand_augment": "tinyscope.data.classification.library:rand_augment",
    },
)
