"""The recipes of pre-training say what the publication does, or that they are of our own."""

import pytest

from tinyscope import recipes
from tinyscope.pretraining import load_pretraining

DATA = ("cifar100", "imagenet32", "imagenet")
PUBLISHED = {
    "resnet50": (65.82, 43.12, 75.92),
    "bh_resnet50": (68.57, 48.75, 74.68),
    "hrnet18": (55.75, None, 76.80),
    "bh_hrnet18": (59.91, 50.68, 76.62),
    "hrnet32": (55.08, None, 78.50),
    "bh_hrnet32": (61.71, 56.00, 78.23),
}
"""Top-1 of Table 5 of arXiv:2303.11267 by `DATA`; None where nothing stands."""
CASES = {
    f"pretrain/{data}_{net}": value
    for net, row in PUBLISHED.items()
    for data, value in zip(DATA, row, strict=True)
}


def test_every_backbone_and_data_set_of_the_table_is_there():
    ours = {name for name in recipes.names() if name.startswith("pretrain/")}
    assert {name for name in ours if "cifar10_" not in name} == CASES.keys()


@pytest.mark.parametrize(("name", "value"), CASES.items())
def test_what_is_expected_is_what_was_published(name, value):
    recipe = load_pretraining(name)
    stated = {} if value is None else {"top1": value / 100}
    assert recipe.expected == pytest.approx(stated, abs=1e-9)
    if value is not None:
        assert "arXiv:2303.11267, Table 5" in recipe.source
    assert "defaults" in recipe.source


@pytest.mark.parametrize("name", CASES)
def test_networks_whose_first_steps_would_diverge_warm_up(name):
    assert load_pretraining(name).train.warmup_steps == (500 if "hrnet" in name else 0)


@pytest.mark.parametrize("name", [n for n in recipes.names() if "pretrain/cifar10_" in n])
def test_a_recipe_of_our_own_expects_what_was_measured(name):
    measured = {
        "pretrain/cifar10_small": {"top1": 0.83},
        "pretrain/cifar10_narrow_bh_resnet50": {"top1": 0.772},
        "pretrain/cifar10_narrow_resnet50": {"top1": 0.765},
    }
    assert load_pretraining(name).expected == measured.get(name, {})
