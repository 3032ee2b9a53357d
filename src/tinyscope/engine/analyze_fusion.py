"""A recipe and a data set to the fusion factors of the recipe's pyramid (S-alpha)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tinyscope.analysis.fusion import FusionReport, best_anchors_per_level, fusion_factors
from tinyscope.catalog import plain
from tinyscope.data.blank import BlankImages
from tinyscope.data.training_set import TrainingSet
from tinyscope.detectors.build import build
from tinyscope.detectors.video import image_detector
from tinyscope.engine.detector import without_files
from tinyscope.engine.predictor import side_divisor
from tinyscope.engine.sources import open_annotations, open_training_set
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.atomic import write_text_atomically
from tinyscope.matching.priors import Anchors
from tinyscope.nn.necks.fpn import FPN
from tinyscope.settings import AnyRecipe, Recipe, image_model, load_recipe, recipe_from
from tinyscope.types import Priors, Size


def analyze_fusion(
    recipe: str | Path | Recipe,
    data: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
) -> FusionReport:
    """Finds how much of every level of the pyramid the next finer one shall take.

    Goes once through the training set as the recipe shows it (windows, transforms, boxes that
    their borders cut) and counts on which level the best anchor of every object lies. No image is
    decoded.

    Args:
        recipe: Of a detector with anchors and an `fpn` neck.
        data: Folder with the data set, where the recipe names none.
        overrides: Changes such as "model.neck.coarsest=64".
        out: A YAML file to write: the resolved recipe with the factors in it.

    Raises:
        SettingsError: A setting is wrong, or the detector has no anchors or no `fpn`.
        DataError: The data set cannot be read, it has no object, or `out` cannot be written.
    """
    chosen = load_recipe(recipe, overrides)
    if out is not None and Path(out).suffix not in (".yaml", ".yml"):
        raise SettingsError(f"out: got {out}; a recipe's file must end in .yaml")
    annotations = open_annotations(chosen.data, "train", None if data is None else Path(data))
    with torch.device("meta"):
        detector: Any = build(without_files(chosen.model), len(annotations.names))
    inner = image_detector(detector)
    anchors, neck = getattr(inner, "rpn", inner).priors, inner.neck
    _, path = image_model(chosen.model)
    if not isinstance(anchors, Anchors):
        raise SettingsError(
            f"{path}.priors: the statistic is of anchors, got {type(anchors).__name__}; use a "
            "recipe with anchors"
        )
    if not isinstance(neck, FPN):
        raise SettingsError(
            f"{path}.neck: {type(neck).__name__} has no fusion factors; use a recipe with fpn"
        )
    samples = open_training_set(chosen.data, annotations, chosen.train.seed)
    samples.read = BlankImages()
    counts, objects = _count(samples, anchors, neck.strides, side_divisor(detector))
    if not objects:
        raise DataError(
            f"{annotations.root}: no object of the training set is seen in its "
            f"{len(samples)} windows; there is nothing to count"
        )
    levels = tuple(counts.tolist())
    factors = fusion_factors(levels, len(neck.taking_part))
    title = "model" if isinstance(recipe, AnyRecipe) else str(recipe)
    report = FusionReport(title, neck.strides, levels, factors, len(samples), objects, path)
    if out is not None:
        _write(chosen, factors, Path(out))
    return report


def _count(
    samples: TrainingSet, anchors: Anchors, strides: Sequence[int], divisor: int
) -> tuple[Tensor, int]:
    """Best anchors of each level (l,) over an epoch, and how many objects there were."""
    counts = torch.zeros(len(strides), dtype=torch.int64)
    objects = 0
    for position in range(len(samples)):
        sample = samples[position]
        boxes = sample.target.boxes[~sample.target.ignore]
        if len(boxes):
            priors = _priors(anchors, strides, sample.size, divisor)
            counts += best_anchors_per_level(priors, boxes, len(strides))
            objects += len(boxes)
    return counts, objects


def _priors(anchors: Anchors, strides: Sequence[int], size: Size, divisor: int) -> Priors:
    """The anchors of an image that is padded as in training."""
    height, width = (-(-side // divisor) * divisor for side in size)
    return anchors([(-(-height // s), -(-width // s)) for s in strides], torch.device("cpu"))


def _write(recipe: Recipe, factors: tuple[float, ...], file: Path) -> None:
    values = recipe.model_dump()
    inner, _ = image_model(values["model"])
    inner["neck"]["fusion"] = list(factors)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(file, recipe_from(plain(values)).to_yaml())
    except OSError as error:
        raise DataError(
            f"{file}: cannot be written ({error.strerror}); choose another place"
        ) from error
