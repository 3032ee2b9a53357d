"""Pixels of an image at another size."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from tinyscope.data.sampling import resampled
from tinyscope.data.transforms.fit import Fit
from tinyscope.types import Sample, Target

SIDES = st.integers(1, 40)


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 1000))
def test_points_are_bilinear_up_to_their_rounding(height, width, new_height, new_width, seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    size = (new_height, new_width)
    exact = interpolate(image[None].float(), size, mode="bilinear", align_corners=False)[0]
    found = resampled(image, size, "points")
    assert found.shape == (3, *size)
    assert (found.float() - exact).abs().max() <= 1


def test_points_skip_what_lies_between_them():
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    image[:, 1, 1] = 255  # of the second pixels on each axis, a quarter takes only 1 and 2 of four
    image[:, 4, 4] = 255
    found = resampled(image, (2, 2), "points")
    assert found[0].tolist() == [[64, 0], [0, 0]]
    assert resampled(image, (2, 2))[0, 1, 1] > 0


def test_an_image_of_the_same_size_stays_as_it_is():
    image = torch.arange(108, dtype=torch.uint8).reshape(3, 6, 6)
    assert torch.equal(resampled(image, (6, 6), "points"), image)


@pytest.mark.parametrize(("size", "fitted"), [((720, 1280), (563, 1000)), ((480, 640), (600, 800))])
def test_half_pixels_are_rounded_up(size, fitted):
    image = torch.zeros(1, 1, 1, dtype=torch.uint8).expand(3, *size)
    draws = np.random.default_rng(0)
    sample = Fit(short=(600,), long=1000)(Sample(image, Target.empty()), draws)
    assert sample.size == fitted
