"""A recipe is checked where it is read, complete after that, and travels as YAML."""

import inspect

import pytest

from tinyscope import recipes
from tinyscope.catalog import REQUIRED, arguments
from tinyscope.errors import SettingsError
from tinyscope.pretraining import load_any
from tinyscope.settings import (
    IN_A_MODEL,
    SUPPLIED,
    TABLES,
    check_part,
    load_recipe,
    recipe_from,
    table,
)

DENSE = {
    "name": "dense",
    "backbone": {"name": "resnet", "depth": 18},
    "neck": {"name": "fpn", "channels": 64},
    "head": {"name": "fcos"},
    "priors": {"name": "points"},
    "assigner": {"name": "center"},
    "sampler": {"name": "all"},
    "coder": {"name": "distance"},
}
TWO_STAGE = {
    "name": "two_stage",
    "backbone": {"name": "resnet"},
    "neck": {"name": "fpn"},
    "rpn": {
        "name": "proposals",
        "head": {"name": "rpn"},
        "priors": {"name": "anchors"},
        "assigner": {"name": "max_iou"},
        "sampler": {"name": "random"},
        "coder": {"name": "delta"},
    },
    "roi": {
        "name": "boxes",
        "head": {"name": "two_fc"},
        "assigner": {"name": "max_iou"},
        "sampler": {"name": "random"},
        "coder": {"name": "delta"},
    },
}


def recipe(**changes):
    return {
        "source": "a test",
        "expected": {"AP50": 0.5},
        "model": DENSE,
        "train": {"steps": 10},
        **changes,
    }


def in_model(**changes):
    return recipe(model={**DENSE, **changes})


@pytest.mark.parametrize("model", [DENSE, TWO_STAGE], ids=["dense", "two_stage"])
def test_a_resolved_recipe_travels_as_yaml(model):
    values = recipe(
        model=model,
        data={"transforms": [{"name": "flip"}], "windows": {"name": "random", "size": 256}},
        train={"epochs": 2, "learning_rate": 1e-5, "precision": 32},
        predict={"tile": 640},
    )
    first = recipe_from(values)
    again = recipe_from(recipes.parse_yaml(first.to_yaml()))
    assert again == first
    assert again.to_yaml() == first.to_yaml()
    assert first.train.precision == "32"


def test_defaults_of_parts_inside_parts_are_filled_in():
    model = recipe_from(recipe(model=TWO_STAGE)).model
    known, _ = arguments(table("sampler").load("random"))
    assert set(model["rpn"]["sampler"]) == {"name", *known}


def test_an_unset_part_of_a_run_has_its_default_filled_in():
    loaded = recipe_from(recipe())
    assert loaded.data.windows["name"] == "whole"
    assert len(loaded.data.windows) > 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (recipe(tran={}), r"^tran: no such option of recipe; did you mean train\?"),
        (recipe(train={"stepps": 5}), r"^train\.stepps: no such option of train; did you mean st"),
        (recipe(train={}), r"^train: got steps None and epochs None; give exactly one"),
        (recipe(train={"steps": 1, "epochs": 1}), "give exactly one of the two"),
        (recipe(train={"steps": "5"}), r"^train\.steps: got '5'; must be a valid integer"),
        (recipe(train={"steps": 0}), r"^train\.steps: got 0; must be greater than 0"),
        (recipe(train={"steps": 5, "optimizer": "sdg"}), "did you mean sgd"),
        (recipe(train={"steps": 5, "precision": 64}), r"^train\.precision: got 64; must be 'auto'"),
        (recipe(train={"steps": 5, "channels_last": 1}), "must be a valid boolean or be 'auto'"),
        (
            recipe(predict={"zooms": []}),
            r"^predict\.zooms: got \[\]; must have at least 1 item$",
        ),
        (recipe(source=1), r"^source: got 1; must be a valid string"),
        (recipe(expected={"AP50": "good"}), r"^expected\.AP50: got 'good'; must be a valid number"),
        (recipe(predict={"tile": 64, "overlap": 64}), "overlap 64 must be smaller than tile 64"),
        (recipe(data={"windows": {"name": "griid"}}), r"^data\.windows\.name: no windows named"),
        (recipe(data={"windows": "grid"}), r"^data\.windows: got 'grid'; must be a mapping"),
        (
            recipe(data={"transforms": [{"name": "flip"}, {"name": "flip", "horizontl": 1}]}),
            r"^data\.transforms\.1\.horizontl: no such option of flip; did you mean horizontal\?",
        ),
        (
            in_model(backbone={"name": "resnet", "depht": 18}),
            r"^model\.backbone\.depht: no such option of resnet; did you mean depth\?",
        ),
        (
            in_model(backbone={"name": "resnet", "depth": 17}),
            r"^model\.backbone\.depth: got 17; mu",
        ),
        (in_model(backbone={}), r"^model\.backbone: got \{\}; must be a mapping with the name of"),
        (in_model(backbone=None), r"^model\.backbone: must be given, dense needs one \(one of: "),
        (in_model(backbon={}), r"^model\.backbon: no such option of dense; did you mean backbone"),
        (in_model(rpn={"name": "proposals"}), r"^model\.rpn: no such option of dense"),
        (in_model(classes=3), r"^model\.classes: follows from the other parts"),
        (
            in_model(neck={"name": "fpn", "in_channels": [3]}),
            r"^model\.neck\.in_channels: follows from the other parts",
        ),
        (
            recipe(model={**TWO_STAGE, "rpn": {**TWO_STAGE["rpn"], "coder": {"name": "dalta"}}}),
            r"^model\.rpn\.coder\.name: no coder named 'dalta'; did you mean delta\?",
        ),
    ],
)
def test_an_error_starts_with_the_path_of_the_key(values, words):
    with pytest.raises(SettingsError, match=words):
        recipe_from(values)


@pytest.mark.parametrize(
    ("model", "key", "value", "allowed"),
    [
        (DENSE, "nms", 7, "less than or equal to 1"),
        (DENSE, "candidates", -1, "greater than 0"),
        (DENSE, "score_threshold", 2, "less than or equal to 1"),
        (DENSE, "limit", -5, "greater than 0"),
        (DENSE, "ignore_threshold", -0.1, "greater than or equal to 0"),
        (DENSE, "std", [0, 1, 1], "greater than 0"),
        (DENSE, "backbone.width", 0, "greater than 0"),
        (DENSE, "neck.channels", 0, "greater than 0"),
        (DENSE, "neck.coarsest", -8, "greater than 0"),
        (DENSE, "head.depth", -1, "greater than or equal to 0"),
        (DENSE, "head.prior_probability", 0, "greater than 0"),
        (DENSE, "head.gamma", -1, "greater than or equal to 0"),
        (DENSE, "priors.side", 0, "greater than 0"),
        (DENSE, "assigner.radius", -1, "greater than 0"),
        (TWO_STAGE, "rpn.train_before", 0, "greater than 0"),
        (TWO_STAGE, "rpn.min_side", -1, "greater than or equal to 0"),
        (TWO_STAGE, "rpn.head.beta", 0, "greater than 0"),
        (TWO_STAGE, "rpn.priors.octaves", 0, "greater than 0"),
        (TWO_STAGE, "rpn.priors.ratios", [1, -1], "greater than 0"),
        (TWO_STAGE, "rpn.assigner.positive", 1.5, "less than or equal to 1"),
        (TWO_STAGE, "rpn.assigner.rescue", -1, "greater than or equal to 0"),
        (TWO_STAGE, "rpn.sampler.count", 0, "greater than 0"),
        (TWO_STAGE, "rpn.coder.max_ratio", 1, "greater than 1"),
        (TWO_STAGE, "roi.pool", 0, "greater than 0"),
        (TWO_STAGE, "roi.head.width", -1, "greater than 0"),
        (TWO_STAGE, "roi.sampler.positive_fraction", 2, "less than or equal to 1"),
        (TWO_STAGE, "roi.coder.stds", [1, 1, 1, 0], "greater than 0"),
    ],
)
def test_an_option_out_of_its_range_is_refused_with_its_key(model, key, value, allowed):
    values = recipes.apply(recipe(model=model), f"model.{key}={value}")
    with pytest.raises(SettingsError, match=rf"^model\.{key}[.0-9]*: got .*; must be {allowed}"):
        recipe_from(values)


@pytest.mark.parametrize("name", ["fit", "scale"])
def test_a_transform_has_ranges_too(name):
    with pytest.raises(SettingsError, match=r"^data\.transforms\.0\.min_side: got -1"):
        recipe_from(recipe(data={"transforms": [{"name": name, "min_side": -1}]}))


@pytest.mark.parametrize("key", ["iou_threshold", "covered", "touch"])
def test_a_merge_has_ranges_too(key):
    with pytest.raises(SettingsError, match=rf"^predict\.merge\.{key}: got -1"):
        recipe_from(recipe(predict={"merge": {"name": "nms", key: -1}}))


@pytest.mark.parametrize("key", ["source", "expected", "model", "train"])
def test_what_every_recipe_must_say_is_asked_for(key):
    values = recipe()
    del values[key]
    with pytest.raises(SettingsError, match=f"^{key}: must be given"):
        recipe_from(values)


def test_a_loaded_recipe_can_be_changed_by_overrides():
    loaded = recipe_from(recipe())
    changed = load_recipe(loaded, ["model.backbone.depth=34", "train.epochs=2"])
    assert changed.model["backbone"]["depth"] == 34
    assert changed.train.steps is None
    assert loaded.model["backbone"]["depth"] == 18
    assert load_recipe(loaded) == loaded


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_of_the_package_is_valid(name):
    assert load_any(name).source


ROWS = [(key, name) for key in TABLES for name in table(key).names()]


@pytest.mark.parametrize(("key", "name"), ROWS)
def test_every_part_can_be_checked_from_its_signature(key, name):
    known, _ = arguments(table(key).load(name))
    supplied = SUPPLIED.get(key, ())
    own = {k: v for k, v in known.items() if k not in supplied and k not in IN_A_MODEL}
    if all(v.default is not REQUIRED or v.factory for v in own.values()):
        checked = table(key).check({"name": name}, key, supplied, IN_A_MODEL)
        assert set(checked) == {"name", *own}
    assert all(v.type is not inspect.Parameter.empty for v in own.values())
    with pytest.raises(SettingsError, match="no such option"):
        check_part({"name": name, "surely_no_option": 1}, key, key)
