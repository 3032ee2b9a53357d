"""Published checkpoints of other frameworks to ours; nothing in a file is executed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file
from torch import Tensor, nn

from tinyscope.catalog import plain
from tinyscope.detectors.build import build
from tinyscope.detectors.published import LAYOUTS, LayoutName, fit, layout_of
from tinyscope.detectors.published.adjust import with_norm_eps, with_red_first
from tinyscope.detectors.published.config import contradictions
from tinyscope.engine.checkpoint import Checkpoint, load_weights, save_checkpoint
from tinyscope.engine.detector import without_files
from tinyscope.engine.misfit import refuse_misfit
from tinyscope.errors import CheckpointError, SettingsError
from tinyscope.formats.atomic import replaced
from tinyscope.nn import weights
from tinyscope.settings import Recipe, load_recipe, recipe_from, table

OWN_EPS = 1e-5
CLASSIFIERS = ("fc.", "classifier.", "incre_modules.", "downsamp_modules.", "final_layer.")
"""What files of classification networks hold beside a backbone."""


@dataclass(frozen=True)
class Imported:
    """What was written where; `ignored` are the file's tensors that were left out on demand."""

    out: Path
    part: str
    layout: str
    tensors: int
    ignored: tuple[str, ...]
    names: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.tensors} tensors of a {self.part} in the layout of {self.layout}"]
        lines += [f"classes: {', '.join(self.names)}"] * bool(self.names)
        lines += [f"ignored: {name}" for name in self.ignored]
        return "\n".join([*lines, f"written to {self.out}"])


def import_checkpoint(
    file: str | Path,
    recipe: str | Path | Recipe,
    out: str | Path,
    *,
    names: Sequence[str] | None = None,
    overrides: Sequence[str] = (),
    part: Literal["detector", "backbone"] = "detector",
    layout: LayoutName | None = None,
    ignore: Sequence[str] = (),
    blue_first: bool = False,
    norm_eps: float = OWN_EPS,
) -> Imported:
    """Writes a checkpoint of ours from one of mmdet, mmcv or torchvision.

    Args:
        file: A .pth or .safetensors file.
        recipe: Of the network that the file was trained as: a name, or a YAML file.
        out: What to write: a checkpoint for `load`, or for a backbone a .safetensors file for
            `model.backbone.weights`.
        names: Of the classes, in the file's order; else the recipe's, else the file's own.
        overrides: Changes of the recipe such as "model.backbone.depth=18".
        part: A whole detector, or its backbone alone, which may come from a classifier's file.
        layout: Whose names the file has; found by itself.
        ignore: Beginnings of names in the file that are left out.
        blue_first: The network takes blue, green, red; its first convolution is turned round.
        norm_eps: What the network's batch norms add to the variance; torchvision's detectors that
            were trained by its reference scripts of version 1 add 0.

    Raises:
        CheckpointError: The file cannot be read without executing code, or does not fit; the
            message lists the tensors that have no counterpart, on both sides.
        SettingsError: The recipe is wrong, or nothing says what the classes are.
    """
    file, out = Path(file), Path(out)
    if out.exists() and file.exists() and out.samefile(file):
        raise CheckpointError(f"{out}: is the file that is read; choose another place to write")
    if norm_eps < 0:
        raise SettingsError(f"norm_eps: got {norm_eps}; must be 0 or more")
    chosen = load_recipe(recipe, overrides)
    settings = without_files(chosen.model)
    if part == "backbone":
        return _import_backbone(file, settings["backbone"], out)
    tensors, meta = weights.read_published(file)
    if any(name.startswith("model/") for name in tensors):
        raise CheckpointError(f"{file}: is a checkpoint of tinyscope already; use it as it is")
    classes = _classes(file, names, chosen, meta)
    model = build(settings, len(classes))
    kind = layout or layout_of(tensors)
    found = fit(tensors, LAYOUTS[kind].keys(model), LAYOUTS[kind].renamed)
    ignored = tuple(n for n in found.left_over if n.startswith(tuple(ignore)))
    left_over = [name for name in found.left_over if name not in ignored]
    refuse_misfit(file, tuple(tensors), found, left_over, model)
    config = meta.get("config")
    if isinstance(config, str) and (wrong := contradictions(config, model, blue_first=blue_first)):
        raise CheckpointError(f"{file}: its own config says {'; '.join(wrong)}")
    values = _adjusted(found.values, model, blue_first=blue_first, norm_eps=norm_eps)
    load_weights(model, {**model.state_dict(), **values}, file)
    written = recipe_from(plain({**chosen.model_dump(), "model": settings}))
    save_checkpoint(
        Checkpoint(model.state_dict(), recipe=plain(written.model_dump()), names=classes), out
    )
    return Imported(out, part, kind, len(values), ignored, classes)


def _import_backbone(file: Path, settings: Mapping[str, Any], out: Path) -> Imported:
    """A backbone of any file that holds one, under names that backbones of ours load."""
    backbone: nn.Module = table("backbone").build(settings, "model.backbone")
    report = weights.load_weights(backbone, file, unused=CLASSIFIERS)
    state = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    try:
        with replaced(out) as beside:
            save_file(state, beside)
    except OSError as error:
        raise CheckpointError(f"{out}: cannot be written ({error.strerror})") from error
    return Imported(out, "backbone", "mmcv or torchvision", len(report.loaded), report.unused, ())


def _adjusted(
    values: Mapping[str, Tensor], model: nn.Module, *, blue_first: bool, norm_eps: float
) -> Mapping[str, Tensor]:
    if blue_first:
        values = with_red_first(values)
    return values if norm_eps == OWN_EPS else with_norm_eps(values, model, norm_eps)


def _classes(
    file: Path, given: Sequence[str] | None, recipe: Recipe, meta: Mapping[str, Any]
) -> tuple[str, ...]:
    """The names of the classes in the file's order."""
    said = meta.get("CLASSES") or ()
    own = (said,) if isinstance(said, str) else tuple(str(name) for name in said)
    names = tuple(given or recipe.data.names or own)
    if not names:
        raise SettingsError(
            f"names: {file} does not say what its classes are; give their names in the order that "
            "it was trained with (--name), or data.names in the recipe"
        )
    if own and sorted(own) == sorted(names) and own != names:
        raise SettingsError(
            f"names: {file} has its classes in the order {', '.join(own)}, not {', '.join(names)}; "
            "name them in its order"
        )
    return names
