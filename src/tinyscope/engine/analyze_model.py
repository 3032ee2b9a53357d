"""A recipe to what its model costs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tinyscope.analysis.complexity import ROIS, complexity
from tinyscope.analysis.model_report import ModelReport
from tinyscope.analysis.suggest import suggest as find_suggestion
from tinyscope.analysis.walk import of_images
from tinyscope.detectors.build import build, build_classifier
from tinyscope.detectors.two_stage import TwoStageDetector
from tinyscope.engine.detector import without_files
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.atomic import write_text_atomically
from tinyscope.nn.backbones import BACKBONES
from tinyscope.pretraining import PretrainRecipe, load_any
from tinyscope.settings import AnyRecipe, Recipe, image_model
from tinyscope.types import Size

PICTURE = "operations.svg"


def analyze_model(
    recipe: str | Path | Recipe | PretrainRecipe,
    size: Size = (512, 640),
    *,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    classes: int | None = None,
    rois: int | None = None,
    batch: int = 1,
    precision: Literal["32", "bf16", "16"] = "32",
    suggest: bool = False,
    budget: int | float | None = None,
    tolerance: int | float | None = None,
    object_side: int | float | None = None,
) -> ModelReport:
    """Counts what a recipe's model costs, without weights and without computing anything.

    Args:
        recipe: Such as `quick/small` or, of a pre-training, `pretrain/cifar10_small`; files of
            pre-trained weights that it names are not needed.
        size: (h, w) of the images, pixels.
        overrides: Changes such as "model.backbone.depth=18".
        out: Folder for a picture of the share of operations per stage.
        classes: How many; None means as many as the recipe says, or one.
        rois: Proposals per image that a second stage is counted with; None means 1000.
        batch: Images whose memory is counted.
        precision: Of all maps, for the memory.
        suggest: Whether to look for a bottom-heavy backbone in place of the recipe's.
        budget: Operations of that backbone by the published count, at most 4 times as many as now;
            None means as many as now.
        tolerance: How far they may lie from the budget, as a fraction of it below 1; None means
            0.01.
        object_side: Side of typical objects, pixels; decides which stages shall grow.

    Raises:
        SettingsError: A setting is wrong, the model cannot work at this size, no suggestion can be
            made, or matplotlib is not there for the picture.
        DataError: The picture cannot be written.
    """
    for name, count in (("height", size[0]), ("width", size[1]), ("rois", rois), ("batch", batch)):
        if count is not None and count < 1:
            raise SettingsError(f"{name} {count}: must be 1 or more")
    _check_wish(suggest, budget, tolerance, object_side)
    checked = load_any(recipe, overrides)
    model = without_files(checked.model)
    with torch.device("meta"):
        network = _network(checked, model, classes)
    two_stages = isinstance(of_images(network), TwoStageDetector)
    if rois is not None and not two_stages:
        raise SettingsError(
            f"rois {rois}: the model has no second stage to meet them; leave it out"
        )
    regions = rois or ROIS
    found = complexity(network, size, rois=regions, batch=batch, precision=precision)
    title = "model" if isinstance(recipe, AnyRecipe) else str(recipe)
    report = ModelReport(title, found, batch, precision, regions if two_stages else None)
    if suggest:
        suggestion = find_suggestion(
            image_model(model)[0]["backbone"],
            size,
            budget=None if budget is None else round(budget),
            tolerance=0.01 if tolerance is None else tolerance,
            object_side=object_side,
        )
        with torch.device("meta"):
            backbone = BACKBONES.build(suggestion.backbone, "model.backbone")
        suggested = complexity(backbone, size, batch=batch, precision=precision)
        report = replace(report, suggestion=suggestion, suggested=suggested)
    if out is not None:
        _write(report, Path(out))
    return report


def _check_wish(
    suggest: bool,
    budget: int | float | None,
    tolerance: int | float | None,
    object_side: int | float | None,
) -> None:
    """Refuses numbers that no suggestion can be made for, or without one."""
    given = (budget, tolerance, object_side)
    if not suggest and any(value is not None for value in given):
        raise SettingsError("budget, tolerance and object side are for a suggestion; add suggest")
    if budget is not None and not (isfinite(budget) and budget >= 1):
        raise SettingsError(f"budget {budget / 1e9:g} G: must be more than 0 and finite")
    if tolerance is not None and not 0 <= tolerance < 1:
        raise SettingsError(f"tolerance {tolerance:g}: must be from 0 to below 1")
    if object_side is not None and not (isfinite(object_side) and object_side > 0):
        raise SettingsError(f"object side {object_side:g}: must be more than 0 and finite")


def _network(
    recipe: Recipe | PretrainRecipe, model: Mapping[str, Any], classes: int | None
) -> nn.Module:
    if isinstance(recipe, PretrainRecipe):
        return build_classifier(model, classes or recipe.data.classes or 1)
    return build(model, classes or len(recipe.data.names or "1"))


def _write(report: ModelReport, folder: Path) -> None:
    chart = report.chart()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomically(folder / PICTURE, chart)
    except OSError as error:
        raise DataError(
            f"{folder / PICTURE}: cannot be written ({error.strerror}); choose another folder"
        ) from error
