"""What a pre-training is: the settings of a recipe whose model says the class of a whole image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from tinyscope.catalog import validate
from tinyscope.errors import SettingsError
from tinyscope.settings import (
    AnyRecipe,
    Part,
    Recipe,
    Settings,
    TrainSettings,
    check_part,
    checked,
    load_recipe,
    resolved,
    trains_a_classifier,
)


def _augmentations(key: str) -> AfterValidator:
    def check(parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(
            check_part(part, f"data.{key}.{i}", "augmentations") for i, part in enumerate(parts)
        )

    return AfterValidator(check)


class ImageSettings(Settings):
    """Where labeled images come from and how they enter the network.

    `train` and `val` are image sets; left empty, they are found in the place given with `--data`,
    where `train_split` and `val_split` name them; a set without `val` is evaluated on its `test`.
    """

    train: Annotated[Part, checked("images", "data.train")] | None = None
    val: Annotated[Part, checked("images", "data.val")] | None = None
    train_split: str = "train"
    val_split: str = "val"
    side: PositiveInt = 32  # of the squares that enter the network, pixels
    transforms: Annotated[tuple[Part, ...], _augmentations("transforms")] = ()
    val_transforms: Annotated[tuple[Part, ...], _augmentations("val_transforms")] = ()
    batch: PositiveInt = 128  # images of all processes together
    workers: NonNegativeInt = 1  # of each process
    classes: PositiveInt | None = None  # that the data must have; None takes any


class ClassifierTrainSettings(TrainSettings):
    """As of a detector; the best checkpoint is that of the best top-1."""

    monitor: str = "top1"


class PretrainRecipe(AnyRecipe):
    """Everything that decides a pre-training, but for the place of data and results."""

    model: Annotated[Part, checked("classifier", "model")]
    data: ImageSettings = Field(default_factory=ImageSettings)
    train: ClassifierTrainSettings


def pretraining_from(values: Mapping[str, Any]) -> PretrainRecipe:
    """A recipe of pre-training from settings as YAML or JSON gives them, after `extends`.

    Raises:
        SettingsError: Names the path of the key that is wrong, its value and what is allowed.
    """
    return validate(PretrainRecipe, values, "")


def load_pretraining(
    recipe: str | Path | PretrainRecipe, overrides: Sequence[str] = ()
) -> PretrainRecipe:
    """A recipe of pre-training, by name, by path, or at hand; see `load_recipe`.

    Raises:
        SettingsError: There is no such recipe, it trains a detector, or a setting is wrong.
    """
    found = load_any(recipe, overrides)
    if not isinstance(found, PretrainRecipe):
        raise SettingsError(
            f"recipe: {recipe} trains a detector; run it with `tinyscope train`, or take a recipe "
            "of pretrain/"
        )
    return found


def load_any(
    recipe: str | Path | AnyRecipe, overrides: Sequence[str] = ()
) -> Recipe | PretrainRecipe:
    """A recipe of either kind, by name, by path, or at hand.

    Raises:
        SettingsError: There is no such recipe, or a setting is wrong.
    """
    values = resolved(recipe, overrides)
    if trains_a_classifier(values):
        return pretraining_from(values)
    assert not isinstance(recipe, PretrainRecipe)
    return load_recipe(recipe, overrides)  # type: ignore[arg-type]
