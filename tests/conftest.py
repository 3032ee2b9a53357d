"""What all tests share: one core, seeds, real data where it is at hand, GPU tests only on one."""

import os
from pathlib import Path

import hypothesis
import pytest
import torch

REAL_DATA = Path(os.environ.get("TINY_DATA", Path(__file__).parents[2] / "shared" / "data"))

# Threads of several test processes only stand in each other's way, and sums in another order
# differ in the last bit.
torch.set_num_threads(1)

# No time limit: machines that run tests are busy. The same cases on every run, so that a failure
# is of the change at hand; HYPOTHESIS_PROFILE=search looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def _seeds() -> None:
    torch.manual_seed(0)


@pytest.fixture
def real_data() -> Path:
    """The folder of real images (environment variable TINY_DATA), or a skip."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}; set TINY_DATA to its folder")
    return REAL_DATA
