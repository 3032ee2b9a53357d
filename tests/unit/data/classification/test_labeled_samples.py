"""A sample follows from the seed and its position; what enters the network has one size."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tinyscope.data.batches import Steps, step_loader
from tinyscope.data.classification import AUGMENTATIONS
from tinyscope.data.classification.augment import Crop, Flip
from tinyscope.data.classification.draws import Draws
from tinyscope.data.classification.labeled import ImageFiles, StoredImages
from tinyscope.data.classification.library import center_crop, resize, resized_crop
from tinyscope.data.classification.samples import LabeledSamples, LabeledShares
from tinyscope.errors import DataError, SettingsError

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 3, 8, 8), dtype=np.uint8)
STORED = StoredImages(PIXELS, np.arange(10), tuple("abcdefghij"), lambda row: f"{row}.png", "train")
FILES = ImageFiles(
    [f"{i}.png" for i in range(10)],
    np.arange(10),
    tuple("abcdefghij"),
    lambda name: torch.from_numpy(PIXELS[int(name[0])]),
    "train",
)
CHANGES = (Crop(side=8, padding=2), Flip())


def test_draws_follow_from_seed_and_position_alone():
    whole, part = Draws(3, range(100)), Draws(3, [7, 50])
    assert (whole.uniform()[[7, 50]] == part.uniform()).all()
    assert (whole.bits()[[7, 50]] == part.bits()).all()
    assert (Draws(4, [7]).bits() != Draws(3, [7]).bits()).all()
    first, second = Draws(3, range(5)).split([2, 3])
    assert (
        np.concatenate([first.bits(), second.bits()]).tolist() == Draws(3, range(5)).bits().tolist()
    )


def test_draws_are_even_and_unrelated():
    draws = Draws(0, range(20_000))
    columns = np.stack([draws.uniform() for _ in range(3)])
    assert 0 <= columns.min() <= columns.max() < 1
    assert np.abs(columns.mean(axis=1) - 0.5).max() < 0.01
    assert np.abs(np.corrcoef(columns) - np.eye(3)).max() < 0.03
    assert abs(np.corrcoef(columns[0, 1:], columns[0, :-1])[0, 1]) < 0.03
    assert np.bincount(Draws(1, range(9000)).below(9)).min() > 850


def test_a_crop_is_a_part_of_the_padded_image():
    images = torch.from_numpy(PIXELS)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    found = set()
    for image, cut in zip(padded, Crop(8, 2)(images, Draws(0, range(10))), strict=True):
        places = [
            (y, x) for y in range(5) for x in range(5) if image[:, y : y + 8, x : x + 8].equal(cut)
        ]
        assert len(places) == 1
        found.update(places)
    assert len(found) > 4


def test_about_half_of_the_images_are_mirrored():
    images = torch.from_numpy(PIXELS).repeat(20, 1, 1, 1)
    mirrored = Flip()(images, Draws(0, range(200)))
    turned = (mirrored == images.flip(-1)).flatten(1).all(dim=1)
    assert (mirrored == images).flatten(1).all(dim=1).logical_xor(turned).all()
    assert 80 < int(turned.sum()) < 120
    assert Flip(0.0)(images, Draws(0, range(200))).equal(images)


@pytest.mark.parametrize("images", [STORED, FILES], ids=["stored", "files"])
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_do_not_depend_on_workers_shares_or_storage(images, workers):
    whole = LabeledSamples(STORED, CHANGES, 8, seed=1).batch(range(8, 16))
    shares = LabeledShares(LabeledSamples(images, CHANGES, 8, seed=1))
    parts = [next(iter(step_loader(shares, Steps(8, 1, 2, rank, 2), workers))) for rank in range(2)]
    assert torch.cat([p.images for p in parts]).equal(whole.images)
    assert torch.cat([p.labels for p in parts]).equal(whole.labels)
    assert sum((p.files for p in parts), ()) == whole.files


def test_every_epoch_sees_every_image_once_in_another_order():
    samples = LabeledSamples(STORED, (), 8, seed=1)
    first, second = (samples.batch(range(s, s + 10)).labels.tolist() for s in (0, 10))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert samples.batch([3]).labels.tolist() == [first[3]]
    in_order = LabeledSamples(STORED, (), 8, shuffled=False).batch(range(10))
    assert in_order.labels.tolist() == list(range(10))
    assert (in_order.images.numpy() == PIXELS).all()


def test_images_of_another_size_are_refused_at_the_start():
    with pytest.raises(
        DataError, match=r"image 0\.png is 8 x 8 pixels .* as 8 x 8, but data\.side is 9"
    ):
        LabeledSamples(STORED, (), 9)
    with pytest.raises(DataError, match=r"8 x 8 pixels with 0 around them hold no square of 9"):
        LabeledSamples(STORED, (Crop(9, 0),), 9)
    with pytest.raises(DataError, match="8 x 8 pixels are less than 9 on a side"):
        LabeledSamples(STORED, (center_crop(9),), 9)
    known = replace(FILES, sizes={(8, 8): 0, (6, 8): 4})
    with pytest.raises(DataError, match=r"image 4\.png is 8 x 6 pixels"):
        LabeledSamples(known, (), 8)
    LabeledSamples(known, (resize(shorter=8), center_crop(8)), 8)


def test_images_of_another_size_are_refused_when_they_are_read():
    samples = LabeledSamples(FILES, (), 9)
    with pytest.raises(DataError, match=r"image .\.png is 8 x 8 pixels"):
        samples.batch([0])
    with pytest.raises(DataError, match=r"image .\.png is 8 x 8 pixels"):
        next(iter(step_loader(LabeledShares(samples), Steps(2, 0, 1), 1)))


@pytest.mark.parametrize("name", AUGMENTATIONS.names())
def test_augmentations_keep_their_promises(name):
    options = {"side": 16} if "crop" in name else {"shorter": 16} if name == "resize" else {}
    change = AUGMENTATIONS.build({"name": name, **options})
    images = torch.randint(0, 256, (4, 3, 20, 24), dtype=torch.uint8)
    before = torch.random.get_rng_state()
    changed = change(images, Draws(0, range(4)))
    assert torch.random.get_rng_state().equal(before)
    assert changed.dtype == torch.uint8
    assert changed.shape[-2:] == change.size((20, 24))
    assert change(images, Draws(0, range(4))).equal(changed)
    assert change(images[2:], Draws(0, range(2, 4))).equal(changed[2:])


def test_a_wrong_option_of_an_augmentation_is_named():
    with pytest.raises(SettingsError, match="padding: got -1"):
        AUGMENTATIONS.build({"name": "crop", "padding": -1})
    assert resized_crop(16).size((300, 20)) == (16, 16)
