"""What a run is: the settings of a recipe, checked, complete, and plain enough to travel as YAML.

The options of parts are not defined here; they are the arguments of the parts' constructors.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from tinyscope import recipes
from tinyscope.catalog import REQUIRED, Table, arguments, part_name, plain, validate
from tinyscope.data import DATASETS, REFERENCES, TRANSFORMS, WINDOWS
from tinyscope.data.classification import AUGMENTATIONS, IMAGE_SETS
from tinyscope.data.sampling import Sampling
from tinyscope.errors import SettingsError
from tinyscope.evaluation import PROTOCOLS
from tinyscope.matching import CODERS, PRIORS
from tinyscope.matching.assign import ASSIGNERS
from tinyscope.matching.sample import SAMPLERS
from tinyscope.nn.backbones import BACKBONES
from tinyscope.nn.heads import HEADS
from tinyscope.nn.necks import NECKS
from tinyscope.nn.temporal import AGGREGATORS, MOTIONS
from tinyscope.tiling import FRAME_WINDOWS, MERGES, Tiling

_OF_IMAGES = {
    "dense": "tinyscope.detectors.dense:DenseDetector",
    "two_stage": "tinyscope.detectors.two_stage:TwoStageDetector",
}
IMAGE_DETECTORS = Table("detector of images", _OF_IMAGES)
DETECTORS = Table("detector", {**_OF_IMAGES, "video": "tinyscope.detectors.video:VideoDetector"})
RPN_STAGES = Table("rpn", {"proposals": "tinyscope.detectors.proposals:ProposalStage"})
_BOXES = {"boxes": "tinyscope.detectors.roi:RoiStage"}
ROI_STAGES = Table("roi", {**_BOXES, "cascade": "tinyscope.detectors.cascade:CascadeStage"})
CASCADED = Table("stage", _BOXES)
CLASSIFIERS = Table("classifier", {"classifier": "tinyscope.detectors.classifier:Classifier"})
# The tables of detectors stand here because detectors read settings and not the reverse.

TABLES = {
    "model": DETECTORS,
    "detector": IMAGE_DETECTORS,
    "motion": MOTIONS,
    "aggregator": AGGREGATORS,
    "classifier": CLASSIFIERS,
    "backbone": BACKBONES,
    "neck": NECKS,
    "head": HEADS,
    "priors": PRIORS,
    "assigner": ASSIGNERS,
    "sampler": SAMPLERS,
    "coder": CODERS,
    "rpn": RPN_STAGES,
    "roi": ROI_STAGES,
    "stages": CASCADED,
    "train": DATASETS,
    "val": DATASETS,
    "windows": WINDOWS,
    "references": REFERENCES,
    "transforms": TRANSFORMS,
    "merge": MERGES,
    "frames": FRAME_WINDOWS,
    "protocol": PROTOCOLS,
    "images": IMAGE_SETS,
    "augmentations": AUGMENTATIONS,
}
"""Which table the part under a key is from."""

SUPPLIED = {
    "model": ("classes",),
    "detector": ("classes",),
    "aggregator": ("channels",),
    "classifier": ("classes",),
    "neck": ("in_channels", "in_strides"),
    "head": ("channels", "strides", "classes", "priors_per_cell", "pool"),
    "priors": ("strides", "fields"),
    "assigner": ("strides",),
    "rpn": ("channels", "strides"),
    "roi": ("channels", "strides", "classes"),
    "stages": ("channels", "strides", "classes"),
    "transforms": ("annotations",),
}
"""Arguments that the builder gives to the part under a key."""

LISTED = ("stages",)
"""Arguments of a model's parts that are lists of parts."""

IN_A_MODEL = (
    *("backbone", "neck", "head", "priors", "assigner", "sampler", "coder", "rpn", "roi"),
    *("detector", "motion", "aggregator"),
    *LISTED,
)
"""Arguments of a model's parts that are parts themselves, or lists of them."""

MODELS = ("model", "classifier")
"""Keys of whole models. Like the parts in them they are made of parts; nothing else is."""

Part = dict[str, Any]
"""`name` and options of a part."""


def image_model(model: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """What of a model sees single images, and its path: a video detector's inner one."""
    if "detector" in model:
        return model["detector"], "model.detector"
    return model, "model"


def table(key: str) -> Table:
    """The table of the parts that stand under `key`."""
    return TABLES[key]


def check_part(options: Any, path: str, key: str) -> Part:
    """A part's options in plain values, with defaults filled in; parts inside it likewise.

    Args:
        options: `name` and options.
        path: Where the part stands in the settings.
        key: Which kind it is, a key of `TABLES`.

    Raises:
        SettingsError: A name, an option or a value is wrong, or a part inside is missing.
    """
    kind = table(key)
    name = part_name(options, path, kind)
    known, _ = arguments(kind.load(name, f"{path}.name"))
    parts = [k for k in IN_A_MODEL if k in known] if key in (*MODELS, *IN_A_MODEL) else []
    if "detector" in parts and (
        astray := [k for k in options if k in IN_A_MODEL and k not in known]
    ):
        raise SettingsError(
            f"{path}.{astray[0]}: belongs to the detector inside {name}; set "
            f"{path}.detector.{astray[0]}"
        )
    checked = kind.check(options, path, SUPPLIED.get(key, ()), parts)
    for inner in parts:
        if options.get(inner) is not None:
            check = check_parts if inner in LISTED else check_part
            checked[inner] = check(options[inner], f"{path}.{inner}", inner)
        elif known[inner].default is REQUIRED:
            raise SettingsError(
                f"{path}.{inner}: must be given, {name} needs one "
                f"(one of: {', '.join(table(inner).names())})"
            )
    result: Part = plain(checked, path)
    return result


def check_parts(options: Any, path: str, key: str) -> list[Part]:
    """Every part of a list as `check_part` checks one.

    Raises:
        SettingsError: It is no list, or something in it is wrong.
    """
    if not isinstance(options, list | tuple):
        raise SettingsError(f"{path}: got {options!r}; must be a list of parts")
    return [check_part(part, f"{path}.{i}", key) for i, part in enumerate(options)]


def checked(key: str, path: str) -> BeforeValidator:
    """Checks the part that stands at `path` and is of the kind `key`."""
    return BeforeValidator(lambda options: check_part(options, path, key))


def _check_transforms(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(check_part(p, f"data.transforms.{i}", "transforms") for i, p in enumerate(parts))


class Settings(BaseModel):
    """A group of settings: nothing unknown, nothing changed later, values taken as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class OpeningSettings(Settings):
    """What some steps of a training look at, in place of `data.windows` and `data.batch`.

    They are the first ones, and with `kept` some of those after, spread evenly.

    Small windows, of which many take the time of a large one, show more objects: boxes are learned
    from them sooner. What surrounds an object is learned from the larger ones that follow.
    """

    share: Annotated[float, Field(gt=0, lt=1)] = 0.5  # of the steps
    kept: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of the steps after those
    windows: Annotated[Part, checked("windows", "data.opening.windows")]
    batch: PositiveInt


class DataSettings(Settings):
    """Where samples come from and how they are made.

    `train` and `val` are data sets; left empty, they are found in the folder given with `--data`,
    where `train_split` and `val_split` name them; "train+val" joins two. `references` are the
    other frames that a model of videos is trained with; `bilateral` where none are named.
    """

    train: Annotated[Part, checked("train", "data.train")] | None = None
    val: Annotated[Part, checked("val", "data.val")] | None = None
    train_split: str = "train"
    val_split: str = "val"
    first_pixel: Literal[0, 1] = 0  # what the files of --data call it; COCO says 0, some copies 1
    windows: Annotated[Part, checked("windows", "data.windows")] = {"name": "whole"}
    transforms: Annotated[tuple[Part, ...], AfterValidator(_check_transforms)] = ()
    references: Annotated[Part, checked("references", "data.references")] | None = None
    redraw: bool = False  # another window in place of one whose objects transforms lost
    batch: PositiveInt = 8  # samples of all processes together
    opening: OpeningSettings | None = None  # other windows for some of the steps
    workers: NonNegativeInt = 2  # of each process
    names: tuple[str, ...] | None = None  # classes and their order; else as the data set has them


def _word(value: Any) -> Any:
    # YAML reads the precision 32 as a number.
    return str(value) if type(value) is int else value


Tile = PositiveInt | tuple[PositiveInt, PositiveInt]
"""Side of a square tile, or (height, width) of one, pixels."""

Voting = Literal["best", "mean"]
Precision = Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(_word)]
"""Of the computation; `auto` takes bfloat16 where the processor computes in it."""


class TrainSettings(Settings):
    """The length of the training, its optimizer and schedule, and what is kept of it.

    Steps are optimizer steps. `milestones` are fractions of the run where they are below 1, and
    steps from 1 on.
    """

    steps: PositiveInt | None = None
    epochs: PositiveInt | None = None
    start: str | None = None  # a checkpoint of such a detector, whose weights it begins with
    only: Annotated[tuple[str, ...], Field(min_length=1)] | None = None  # parts that learn, such as
    # roi.head.classification; all others are frozen, their norms too
    optimizer: Literal["sgd", "adamw", "muon"] = "sgd"
    learning_rate: PositiveFloat = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9  # of sgd and muon; first beta of adamw
    weight_decay: NonNegativeFloat = 1e-4
    decay_norm_and_bias: bool = True
    bias_rate_factor: PositiveFloat = 1.0  # of biases that are no norm's; Caffe's recipes take 2
    schedule: Literal["constant", "multistep", "cosine", "restart", "flat_cosine"] = "multistep"
    milestones: tuple[PositiveFloat, ...] = (0.67, 0.92)
    gamma: PositiveFloat = 0.1  # factor at each milestone
    warmup: Literal["linear", "constant"] = "linear"  # how the rate behaves over warmup_steps
    warmup_steps: NonNegativeInt = 500
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.001  # of the rate, at step 0
    clip_norm: PositiveFloat | None = None
    accumulate: PositiveInt = 1  # batches per optimizer step
    precision: Precision = "auto"
    channels_last: bool | Literal["auto"] = "auto"
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None  # decay per step
    evaluate_every: PositiveInt | None = None  # steps; else once per epoch
    checkpoint_every: PositiveInt = 500  # steps
    early_stop: PositiveInt | None = None  # evaluations without gain
    seed: NonNegativeInt = 0
    monitor: str = "AP50"

    @model_validator(mode="after")
    def _one_length(self) -> "TrainSettings":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(
                f"got steps {self.steps} and epochs {self.epochs}; give exactly one of the two"
            )
        return self


class PredictSettings(Settings):
    """How an image is looked through; lengths are pixels after `scale`."""

    tile: Tile | None = None  # side of a tile, or its height and width; else the whole at once
    overlap: NonNegativeInt = 64  # at least the longest object, or a cut object is never whole
    tiling: Tiling = "flush"  # what becomes of tiles that reach out of the image
    batch: PositiveInt = 4  # tiles at once
    fit: tuple[PositiveInt, PositiveInt] | None = None  # images of any size are first resized so
    # that the short and the long side are at most these, and one of them is
    scale: PositiveFloat = 1.0  # images are enlarged by it first; tile and overlap count after it
    sampling: Sampling = "antialiased"  # how images are resized by these two
    zooms: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1.0,)  # every tile is
    # looked at enlarged by each of them; what these looks find is joined before suppression
    views: Literal[1, 2, 4, 8] = 1  # of every tile: 2 are itself and its mirror image, 4 both of
    # these upside down as well, 8 all of them turned as well
    voting: Voting = "best"  # what becomes of detections of views that agree
    merge: Annotated[Part, checked("merge", "predict.merge")] = {"name": "nms"}
    frames: Annotated[Part, checked("frames", "predict.frames")] = {"name": "sliding"}  # of a
    # video, by which each of them is judged; detectors of images look at one at a time
    score_threshold: Annotated[float, Field(ge=0, le=1)] | None = None  # else the model's own
    limit: PositiveInt | None = 1500  # detections of one image; the model's own holds for each tile
    precision: Precision = "auto"

    @model_validator(mode="after")
    def _tiles_advance(self) -> "PredictSettings":
        if self.tile_size is not None and self.overlap >= min(self.tile_size):
            raise ValueError(f"overlap {self.overlap} must be smaller than tile {self.tile}")
        return self

    @model_validator(mode="after")
    def _sides_in_order(self) -> "PredictSettings":
        if self.fit is not None and self.fit[0] > self.fit[1]:
            raise ValueError(f"fit {list(self.fit)} must be the short side, then the long one")
        return self

    @property
    def resizes(self) -> bool:
        """Whether images are looked at in another size than their own."""
        return self.fit is not None or self.scale != 1

    def shown_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) in which an image of that size is looked at."""
        if self.fit is None:
            height, width = (max(1, round(side * self.scale)) for side in size)
        else:  # halves up, as in mmdetection
            factor = self.scale * min(self.fit[0] / min(size), self.fit[1] / max(size))
            height, width = (max(1, math.floor(side * factor + 0.5)) for side in size)
        return height, width

    @property
    def tile_size(self) -> tuple[int, int] | None:
        """(height, width) of a tile."""
        return (self.tile, self.tile) if isinstance(self.tile, int) else self.tile


class EvaluateSettings(Settings):
    """By whose rules detections are scored."""

    protocol: Annotated[Part, checked("protocol", "evaluate.protocol")] = {"name": "tiny"}


class AnyRecipe(Settings):
    """What recipes of all kinds say.

    `source` says where the settings are from; `expected` what they reach, by metric.
    """

    source: str
    expected: dict[str, float]

    def to_yaml(self) -> str:
        """The resolved recipe; reading it gives an equal one."""
        return yaml.safe_dump(
            plain(self.model_dump()), sort_keys=False, default_flow_style=None, allow_unicode=True
        )


class Recipe(AnyRecipe):
    """Everything that decides a run, but for the place of data and results."""

    model: Annotated[Part, checked("model", "model")]
    data: DataSettings = Field(default_factory=DataSettings)
    train: TrainSettings
    predict: PredictSettings = Field(default_factory=PredictSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """A recipe from settings as YAML or JSON gives them, after `extends`.

    Raises:
        SettingsError: Names the path of the key that is wrong, its value and what is allowed.
    """
    return validate(Recipe, values, "")


def load_recipe(recipe: "str | Path | Recipe", overrides: Sequence[str] = ()) -> Recipe:
    """A recipe of the package by name, or of a YAML file by path; one at hand passes through.

    Args:
        recipe: Such as `quick/demo` or `mine.yaml`.
        overrides: Changes such as "model.backbone.depth=50", in the order given.

    Raises:
        SettingsError: There is no such recipe, it is one of pre-training, or a setting is wrong.
    """
    values = resolved(recipe, overrides)
    if trains_a_classifier(values):
        raise SettingsError(
            f"recipe: {_title(recipe)} pre-trains a backbone; run it with `tinyscope pretrain`, "
            "and name the checkpoint in model.backbone.weights of a detector's recipe"
        )
    return recipe_from(values)


def resolved(recipe: str | Path | AnyRecipe, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The values of a recipe of any kind after `extends` and overrides, not checked."""
    if not isinstance(recipe, AnyRecipe):
        return recipes.resolve(recipe, overrides)
    values = recipe.model_dump()
    for override in overrides:
        values = recipes.apply(values, override)
    return values


def trains_a_classifier(values: Mapping[str, Any]) -> bool:
    """Whether a recipe is one of pre-training, by the name of its model."""
    model = values.get("model")
    return isinstance(model, Mapping) and model.get("name") in CLASSIFIERS.names()


def _title(recipe: str | Path | AnyRecipe) -> str:
    return "it" if isinstance(recipe, AnyRecipe) else str(recipe)
