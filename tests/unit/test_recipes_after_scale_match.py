"""The two runs of Scale Match can be started as the page of the baselines says."""

import re
import shlex
from pathlib import Path, PurePath

import numpy as np
import pytest

from tinyscope.catalog import arguments
from tinyscope.data import TRANSFORMS
from tinyscope.evaluation import evaluate
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import DetectionTable
from tinyscope.settings import load_recipe

PAGE = Path(__file__).parents[2] / "docs" / "tinyperson_baselines.md"
KINDS = ("sm", "msm", "sm_plus")


def commands():
    """The arguments of the page's trainings by recipe, with the overrides in a list."""
    blocks = re.findall(r"^```\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = {}
    for words in map(shlex.split, lines):
        if words[:2] == ["tinyscope", "train"]:
            pairs = list(zip(words[3::2], words[4::2], strict=True))
            sets = [value for key, value in pairs if key == "--set"]
            found[words[2].removeprefix("tinyperson/")] = (dict(pairs), sets)
    return found


def files(recipe):
    """The settings of a recipe that name files which the user must have."""
    named = {"model.backbone.weights": recipe.model["backbone"]["weights"]}
    named["train.start"] = recipe.train.start
    for i, part in enumerate(recipe.data.transforms):
        known, _ = arguments(TRANSFORMS.load(part["name"]))
        paths = (k for k, a in known.items() if "Path" in str(a.type))
        named |= {f"data.transforms.{i}.{key}": part[key] for key in paths}
    return {key for key, file in named.items() if file is not None}


def test_the_page_has_all_pre_trainings():
    pairs = {f"{run}_{kind}_resnet50_imagenet" for kind in KINDS for run in ("coco", "faster_rcnn")}
    assert pairs <= commands().keys()


@pytest.mark.parametrize("name", sorted(commands()))
def test_a_command_names_every_file_that_its_recipe_needs(name):
    _, sets = commands()[name]
    recipe = load_recipe(f"tinyperson/{name}", sets)
    given = dict(override.split("=", 1) for override in sets)
    assert files(recipe) <= given.keys()
    # The published run pre-trains on both splits.
    both = "train+val" if name.startswith("coco_") else "train"
    assert recipe.data.train_split == both


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_run_starts_from_the_first(kind):
    first, _ = commands()[f"coco_{kind}_resnet50_imagenet"]
    _, sets = commands()[f"faster_rcnn_{kind}_resnet50_imagenet"]
    assert sets == [f"train.start={PurePath(first['--out']) / 'best.ckpt'}"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_chooses_the_best_checkpoint_is_among_the_scores(kind):
    recipe = load_recipe(f"tinyperson/coco_{kind}_resnet50_imagenet")
    box = np.array([[8.0, 8.0, 20.0, 20.0]])
    size, label = np.full((1, 2), 64, dtype=np.int32), np.zeros(1, dtype=np.int64)
    truth = assemble(Path(), ["person"], ["a.jpg"], size, [1], box, label)
    result = evaluate(truth, DetectionTable.concatenate([]), recipe.evaluate.protocol)
    assert recipe.train.monitor in dict(result)
