"""A trained detector as a user holds it: what it is made of, and what it finds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor, nn

from tinyscope.catalog import plain, validate
from tinyscope.data.images import BACKDROP, read_image
from tinyscope.detectors.build import build
from tinyscope.detectors.video import VideoDetector
from tinyscope.engine.checkpoint import Checkpoint, load_checkpoint, load_weights, save_checkpoint
from tinyscope.engine.predictor import Predictor
from tinyscope.engine.video import VideoPredictor
from tinyscope.errors import CheckpointError, DataError, SettingsError
from tinyscope.settings import (
    PredictSettings,
    Recipe,
    Tile,
    load_recipe,
    recipe_from,
    trains_a_classifier,
)
from tinyscope.types import Detections

Picture = str | Path | Image.Image | NDArray[Any] | Tensor
"""A file, an image of Pillow, (h, w, 3) or (h, w) uint8 of numpy, or (3, h, w) uint8 of torch."""

_TEXT = (".yaml", ".yml")


class Detector:
    """A model with its recipe and the names of its classes.

    Args:
        model: With `forward` and `decode`.
        recipe: What it was built and trained by; `recipe.predict` says how images are looked
            through where a call does not.
        names: Of the classes.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, names: Sequence[str]) -> None:
        self.model, self.recipe, self.names = model, recipe, tuple(names)
        self._predictor: tuple[dict[str, Any], Predictor] | None = None

    @overload
    def predict(
        self,
        images: Picture,
        tile: Tile | None = None,
        overlap: int | None = None,
        **settings: Any,
    ) -> Detections: ...
    @overload
    def predict(
        self,
        images: list[Any] | tuple[Any, ...],
        tile: Tile | None = None,
        overlap: int | None = None,
        **settings: Any,
    ) -> list[Detections]: ...
    def predict(
        self,
        images: Picture | list[Any] | tuple[Any, ...],
        tile: Tile | None = None,
        overlap: int | None = None,
        **settings: Any,
    ) -> Detections | list[Detections]:
        """Finds objects in an image, or in each of several.

        Args:
            images: One image, or a list of them; see `Picture`.
            tile: Side, or (height, width), of the tiles that an image is cut into, pixels; 0 takes
                the whole at once, None does as the recipe says.
            overlap: Of neighboring tiles, pixels; the recipe's by default.
            settings: Of the recipe's `predict`, in place of them: `scale` enlarges images first,
                `views` looks at them mirrored as well, `score_threshold`, `limit`, ...

        Returns:
            Detections in pixels of the image, best first, on the CPU.

        Raises:
            DataError: An image cannot be read, or an array is no image.
            SettingsError: A setting is unknown or wrong.
        """
        predictor = self.predictor(tile=tile, overlap=overlap, **settings)
        if isinstance(images, list | tuple):
            return [predictor(pixels(image)) for image in images]
        return predictor(pixels(images))

    def video(
        self,
        frames: Iterable[Picture],
        /,
        tile: Tile | None = None,
        overlap: int | None = None,
        **settings: Any,
    ) -> Iterator[Detections]:
        """Finds objects in the frames of one video, of whatever length, as they come.

        A detector of videos answers for a frame when so many have followed as `frames` of its
        settings says; one of images answers at once.

        Args:
            frames: In order, all of one size; see `Picture`. They are asked for one by one.
            tile, overlap, settings: As of `predict`; `frames={"name": "sliding", "radius": 5}`
                looks at fewer around each.

        Yields:
            Detections of each frame, in order; as of `predict`.

        Raises:
            DataError: A frame cannot be read, or is of another size than those before; or a path is
                given in place of frames.
            SettingsError: A setting is unknown or wrong.
        """
        if isinstance(frames, str | Path):  # whose letters would be taken for files
            raise DataError(
                f"video {frames}: frames are asked for, one after the other, not a path; "
                "tinyscope.predict reads video files"
            )
        chosen = self.predictor(tile=tile, overlap=overlap, **settings).settings
        return VideoPredictor(self.model, self.names, chosen).run(map(pixels, frames))

    def predictor(
        self, *, tile: Tile | None = None, overlap: int | None = None, **settings: Any
    ) -> Predictor:
        """What looks through images by the recipe's settings, but for those given.

        Raises:
            SettingsError: A setting is unknown or wrong, or `frames` is of no use.
        """
        given = {"tile": tile, "overlap": overlap, **settings}
        changes = {name: value for name, value in given.items() if value is not None}
        if self._predictor is None or self._predictor[0] != changes:
            values = self.recipe.predict.model_dump() | changes
            values["tile"] = values["tile"] or None
            chosen = validate(PredictSettings, values, "predict")
            if "frames" in changes and not isinstance(self.model, VideoDetector):
                raise SettingsError(
                    f"predict.frames: got {chosen.frames['name']}, but a "
                    f"{type(self.model).__name__} looks at one frame at a time; leave it out"
                )
            self._predictor = (changes, Predictor(self.model, self.names, chosen))
        return self._predictor[1]

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint that `load` reads.

        Raises:
            CheckpointError: The file cannot be written.
        """
        recipe = plain(self.recipe.model_dump())
        checkpoint = Checkpoint(self.model.state_dict(), recipe=recipe, names=self.names)
        save_checkpoint(checkpoint, Path(path))


def load(
    source: str | Path, names: Sequence[str] = ("object",), device: str | torch.device | None = None
) -> Detector:
    """A detector from a checkpoint; or from a recipe, with fresh weights.

    Args:
        source: Path of a checkpoint, or name or path of a recipe.
        names: Of the classes, for a recipe that does not say them.
        device: Where it computes; a GPU by default if there is one.

    Raises:
        CheckpointError: The checkpoint is missing, damaged or of another model.
        SettingsError: There is no such recipe.
    """
    path = Path(source)
    if (path.exists() or path.suffix in (".ckpt", ".safetensors")) and path.suffix not in _TEXT:
        return load_trained(path, device)
    recipe = load_recipe(source)
    names = recipe.data.names or tuple(names)
    return Detector(build(recipe.model, len(names)).eval().to(_device(device)), recipe, names)


def load_trained(path: str | Path, device: str | torch.device | None = None) -> Detector:
    """A detector from a checkpoint, and from nothing else: a recipe would find nothing.

    Raises:
        CheckpointError: The checkpoint is missing, damaged or of another model.
    """
    path = Path(path)
    checkpoint = load_checkpoint(path)
    if trains_a_classifier(checkpoint.recipe):
        raise CheckpointError(
            f"{path}: is a classifier's, which finds no objects; name it in model.backbone.weights "
            "of a detector's recipe and train that"
        )
    try:
        recipe = recipe_from(checkpoint.recipe)
    except SettingsError as error:
        written = checkpoint.versions.get("tinyscope", "unknown")
        raise CheckpointError(
            f"{path}: this version of tinyscope does not understand its recipe ({error}); "
            f"use the version that wrote it, {written}"
        ) from error
    model = build(without_files(recipe.model), len(checkpoint.names))
    load_weights(model, checkpoint.weights, path)
    return Detector(model.eval().to(_device(device)), recipe, checkpoint.names)


def _device(wanted: str | torch.device | None) -> str | torch.device:
    if wanted is not None:
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def without_files(model: Mapping[str, Any]) -> dict[str, Any]:
    """Model settings without files of pre-trained weights: a checkpoint needs nothing else."""
    return {
        key: without_files(value) if isinstance(value, Mapping) else value
        for key, value in model.items()
        if key != "weights"
    }


def pixels(picture: Picture) -> UInt8[Tensor, "3 h w"]:
    """An image in whatever form, as pixels.

    Raises:
        DataError: A file cannot be read, or an array has the wrong shape or type.
    """
    if isinstance(picture, str | Path):
        return read_image(Path(picture))
    if isinstance(picture, Image.Image):
        return _of_pillow(picture)
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or not (
            picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)
        ):
            raise DataError(
                f"an image of numpy must be (h, w, 3) or (h, w) uint8, got {picture.shape} "
                f"{picture.dtype}; convert it, or name its file"
            )
        values = torch.from_numpy(np.ascontiguousarray(picture))
        return values.expand(3, -1, -1) if values.ndim == 2 else values.permute(2, 0, 1)
    if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[0] != 3:
        raise DataError(
            f"an image of torch must be (3, h, w) uint8, got {tuple(picture.shape)} "
            f"{picture.dtype}; values are 0 to 255 and not normalized"
        )
    return picture.cpu()


def _of_pillow(image: Image.Image) -> Tensor:
    if image.mode.startswith(("I", "F")):
        raise DataError(
            f"an image of Pillow's mode {image.mode} has more than 8 bits; name its file instead, "
            "or convert it to 8 bits"
        )
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        below = Image.new("RGBA", upright.size, (*BACKDROP, 255))
        upright = Image.alpha_composite(below, upright.convert("RGBA"))
    return torch.from_numpy(np.array(upright.convert("RGB"))).permute(2, 0, 1)
