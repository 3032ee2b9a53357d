"""Opens the image sets that a recipe of pre-training names, or that lie in one place."""

import hashlib
from pathlib import Path

from tinyscope.data.classification import AUGMENTATIONS, IMAGE_SETS
from tinyscope.data.classification.labeled import LabeledImages
from tinyscope.data.classification.locate import has_split, locate
from tinyscope.data.classification.samples import LabeledSamples
from tinyscope.errors import DataError, SettingsError
from tinyscope.pretraining import ImageSettings


def open_image_sets(
    settings: ImageSettings, data: Path | None
) -> tuple[LabeledImages, LabeledImages | None]:
    """The sets to train and to evaluate on; the latter None where there is none.

    Raises:
        SettingsError: Neither a set nor a place is given.
        DataError: A set cannot be read, or the classes are not those expected.
    """
    train = _opened(settings, "train", data, settings.train_split)
    if len(train.names) < 2:
        raise DataError(
            f"the training set has one class ({_few(train.names)}), so that there is nothing to "
            "tell apart; give data of at least two"
        )
    if settings.classes is not None and len(train.names) != settings.classes:
        raise DataError(
            f"the training set has {len(train.names)} classes ({_few(train.names)}), the recipe "
            f"is for {settings.classes}; give other data, or set data.classes={len(train.names)}"
        )
    split = _wanted_split(settings, data)
    if split is None:
        return train, None
    val = _opened(settings, "val", data, split)
    if val.names != train.names:
        only = [n for n in train.names if n not in val.names]
        more = [n for n in val.names if n not in train.names]
        raise DataError(
            f"the set to evaluate on has {len(val.names)} classes, the training set "
            f"{len(train.names)} (only in train: {_few(only)}; only in {val.split}: {_few(more)}); "
            "both must have the same"
        )
    return train, val


def _wanted_split(settings: ImageSettings, data: Path | None) -> str | None:
    """The split to evaluate on; `val` may be `test`, or absent, but nothing else that is named."""
    if settings.val is not None or settings.val_split != "val":
        return settings.val_split
    if data is None:
        return None
    return next((split for split in ("val", "test") if has_split(data, split)), None)


def open_samples(
    settings: ImageSettings, images: LabeledImages, seed: int, *, training: bool
) -> LabeledSamples:
    """The images as they enter the network: at random for training, in order otherwise.

    Raises:
        DataError: An image is known to be of another size than the settings take.
    """
    key = "transforms" if training else "val_transforms"
    changes = [
        AUGMENTATIONS.build(part, f"data.{key}.{i}")
        for i, part in enumerate(getattr(settings, key))
    ]
    return LabeledSamples(images, changes, settings.side, seed, shuffled=training)


def fingerprint(images: LabeledImages) -> str:
    """Equal for sets with the same classes and labels in the same order."""
    digest = hashlib.sha256(repr(images.names).encode())
    digest.update(images.labels.astype("<i8").tobytes())
    return digest.hexdigest()[:16]


def _opened(settings: ImageSettings, key: str, data: Path | None, split: str) -> LabeledImages:
    part = getattr(settings, key)
    if part is not None:
        images: LabeledImages = IMAGE_SETS.build(part, f"data.{key}")
        return images
    if data is None:
        raise SettingsError(
            f"data.{key}: no image set is given; use --data PATH, or name one in the recipe"
        )
    return locate(data, split)


def _few(names: tuple[str, ...] | list[str]) -> str:
    return (
        ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "none"
    )
