"""Recipes as files: YAML as 1.2 reads it, one level of `extends`, overrides by path."""

import pytest
import yaml

from tinyscope import recipes
from tinyscope.errors import SettingsError

BASE = {
    "source": "a paper",
    "expected": {"AP50": 0.5},
    "model": {"name": "dense", "backbone": {"name": "resnet", "depth": 50}, "limit": 100},
    "data": {"transforms": [{"name": "flip"}, {"name": "noise", "sigma": 2}]},
    "train": {"steps": 100},
}
DERIVED = {"source": "mine", "expected": {}, "extends": "base.yaml"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    return tmp_path


def derive(folder, **changes):
    file = folder / "derived.yaml"
    file.write_text(yaml.safe_dump({**DERIVED, **changes}))
    return file


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5E+2", 150.0),
        ("-.5e1", -5.0),
        (".inf", float("inf")),
        ("12", 12),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("2024-01-01", "2024-01-01"),
        ("e3", "e3"),
        ("[1, 2.5, x]", [1, 2.5, "x"]),
    ],
)
def test_values_are_read_as_a_person_means_them(text, value):
    read = recipes.parse_yaml(text)
    assert read == value
    assert type(read) is type(value)


def test_options_of_the_same_part_are_merged(folder):
    file = derive(folder, model={"backbone": {"depth": 18, "frozen": 1}})
    model = recipes.resolve(file)["model"]
    assert model["backbone"] == {"name": "resnet", "depth": 18, "frozen": 1}
    assert model["limit"] == 100


def test_a_part_of_another_name_replaces_the_whole_part(folder):
    file = derive(folder, model={"backbone": {"name": "bottom_heavy"}})
    assert recipes.resolve(file)["model"]["backbone"] == {"name": "bottom_heavy"}


def test_lists_are_replaced(folder):
    file = derive(folder, data={"transforms": [{"name": "turn"}]})
    assert recipes.resolve(file)["data"]["transforms"] == [{"name": "turn"}]


def test_source_and_expectation_are_not_inherited(folder):
    file = folder / "derived.yaml"
    file.write_text("extends: base.yaml\n")
    resolved = recipes.resolve(file)
    assert "source" not in resolved
    assert "expected" not in resolved
    assert "extends" not in resolved


def test_a_length_in_epochs_takes_the_place_of_one_in_steps(folder):
    assert recipes.resolve(derive(folder, train={"epochs": 3}))["train"] == {"epochs": 3}
    assert recipes.apply(BASE, "train.epochs=2")["train"] == {"epochs": 2}


def test_a_recipe_cannot_extend_one_that_extends(folder):
    derive(folder)
    second = folder / "second.yaml"
    second.write_text(yaml.safe_dump({**DERIVED, "extends": "derived.yaml"}))
    with pytest.raises(SettingsError, match=r"^extends: derived\.yaml itself extends base\.yaml"):
        recipes.resolve(second)


def test_overrides_are_applied_in_order(folder):
    resolved = recipes.resolve(
        derive(folder),
        [
            "model.backbone.name=bottom_heavy",
            "model.backbone.blocks=[7, 6, 2, 1]",
            "data.transforms.1.sigma=5",
            "train.ema=0.99",
        ],
    )
    assert resolved["model"]["backbone"] == {"name": "bottom_heavy", "blocks": [7, 6, 2, 1]}
    assert resolved["data"]["transforms"] == [{"name": "flip"}, {"name": "noise", "sigma": 5}]
    assert resolved["train"] == {"steps": 100, "ema": 0.99}


def test_overrides_leave_their_base_as_it_was():
    before = yaml.safe_dump(BASE)
    recipes.apply(BASE, "data.transforms.0.name=turn")
    recipes.apply(BASE, "model.backbone={name: other}")
    assert yaml.safe_dump(BASE) == before


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.steps", r"^--set: got 'train\.steps'; must be key=value"),
        ("=5", "must be key=value"),
        ("a..b=5", "must be key=value"),
        ("data.transforms.2.sigma=1", r"^data\.transforms\.2: data\.transforms is a list of 2"),
        ("data.transforms.first=1", "'first' must be a number below that"),
        ("train.steps.more=1", r"^train\.steps\.more: train\.steps is 100, which has no keys"),
        ("train.steps=[1", r"^train\.steps: got '\[1', which is not valid YAML"),
    ],
)
def test_an_override_that_cannot_be_applied_says_why(override, words):
    with pytest.raises(SettingsError, match=words):
        recipes.apply(BASE, override)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", r"bad\.yaml: not valid YAML"),
        ("train: {steps: 1, steps: 2}", "the key 'steps' stands twice"),
        ("- a\n- b", "a recipe is a mapping of settings"),
        ("a: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("", "holds None"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, text, words):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(SettingsError, match=words):
        recipes.resolve(tmp_path / "bad.yaml")


def test_an_unknown_recipe_is_answered_with_the_nearest():
    if not recipes.names():
        pytest.skip("no recipe in the package")
    name = recipes.names()[0]
    with pytest.raises(SettingsError, match=f"did you mean {name}\\?"):
        recipes.resolve(name + "x")


def test_every_recipe_is_listed_with_its_header():
    assert [entry.name for entry in recipes.listing()] == list(recipes.names())
    for entry in recipes.listing():
        assert entry.source, entry.name
        assert isinstance(entry.expected, dict), entry.name
