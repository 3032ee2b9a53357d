"""A recipe to what its model costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from tinyscope.analysis.complexity import ROIS, complexity
from tinyscope.analysis.model_report import ModelReport
from tinyscope.analysis.suggest import suggest as find_suggestion
from tinyscope.detectors.build import build
from tinyscope.engine.detector import without_files
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.atomic import write_text_atomically
from tinyscope.nn.backbones import BACKBONES
from tinyscope.settings import Recipe, load_recipe
from tinyscope.types import Size

PICTURE = "operations.svg"


def analyze_model(
    recipe: str | Path | Recipe,
    size: Size = (512, 640),
    *,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    classes: int | None = None,
    rois: int = ROIS,
    batch: int = 1,
    precision: Literal["32", "bf16", "16"] = "32",
    suggest: bool = False,
    budget: int | float | None = None,
    tolerance: float = 0.01,
    object_side: int | float | None = None,
) -> ModelReport:
    """Counts what a recipe's model costs, without weights and without computing anything.

    Args:
        recipe: Such as `quick/small`; files of pre-trained weights that it names are not needed.
        size: (h, w) of the images, pixels.
        overrides: Changes such as "model.backbone.depth=18".
        out: Folder for a picture of the share of operations per stage.
        classes: How many; None means the names that the recipe has, or one.
        rois: Proposals per image that a second stage is counted with.
        batch: Images whose memory is counted.
        precision: Of all maps, for the memory.
        suggest: Whether to look for a bottom-heavy backbone in place of the recipe's.
        budget: Operations of that backbone by the published count; None means as many as now.
        tolerance: How far they may lie from the budget, as a fraction of it.
        object_side: Side of typical objects, pixels; decides which stages shall grow.

    Raises:
        SettingsError: A setting is wrong, the model cannot work at this size, no suggestion can be
            made, or matplotlib is not there for the picture.
        DataError: The picture cannot be written.
    """
    for name, value in (("height", size[0]), ("width", size[1]), ("rois", rois), ("batch", batch)):
        if value < 1:
            raise SettingsError(f"{name} {value}: must be 1 or more")
    if not suggest and (budget is not None or object_side is not None):
        raise SettingsError("budget and object side are for a suggestion; add suggest")
    checked = load_recipe(recipe, overrides)
    model = without_files(checked.model)
    count = classes or len(checked.data.names or "1")
    with torch.device("meta"):
        detector = build(model, count)
    found = complexity(detector, size, rois=rois, batch=batch, precision=precision)
    title = "model" if isinstance(recipe, Recipe) else str(recipe)
    report = ModelReport(title, found, batch, precision)
    if suggest:
        suggestion = find_suggestion(
            model["backbone"],
            size,
            budget=None if budget is None else round(budget),
            tolerance=tolerance,
            object_side=object_side,
        )
        with torch.device("meta"):
            backbone = BACKBONES.build(suggestion.backbone, "model.backbone")
        suggested = complexity(backbone, size, batch=batch, precision=precision)
        report = ModelReport(title, found, batch, precision, suggestion, suggested)
    if out is not None:
        _write(report, Path(out))
    return report


def _write(report: ModelReport, folder: Path) -> None:
    chart = report.chart()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomically(folder / PICTURE, chart)
    except OSError as error:
        raise DataError(
            f"{folder / PICTURE}: cannot be written ({error.strerror}); choose another folder"
        ) from error
