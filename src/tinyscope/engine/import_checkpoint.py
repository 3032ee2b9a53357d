"""Published checkpoints of other frameworks to ours; nothing in a file is executed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file
from torch import Tensor, nn

from tinyscope.catalog import plain
from tinyscope.detectors.build import build
from tinyscope.detectors.published import LAYOUTS, LayoutName, fit, layout_of
from tinyscope.detectors.published.adjust import with_norm_eps, with_red_first
from tinyscope.detectors.published.config import contradictions
from tinyscope.detectors.published.misfit import refuse_misfit
from tinyscope.engine.checkpoint import Checkpoint, load_weights, save_checkpoint
from tinyscope.engine.detector import without_files
from tinyscope.errors import CheckpointError, SettingsError
from tinyscope.formats.atomic import replaced
from tinyscope.nn import weights
from tinyscope.settings import Recipe, image_model, load_recipe, recipe_from, table

OWN_EPS = 1e-5
SUFFIXES = {"detector": ".ckpt", "backbone": ".safetensors"}
"""How files of each part end."""


@dataclass(frozen=True)
class Imported:
    """What was written where.

    `layout` is None of a backbone, whose names are alike in all; `ignored` are the file's tensors
    that were left out: on demand, and of a backbone those of its classifier and unbuilt stages.
    """

    out: Path
    part: str
    layout: LayoutName | None
    tensors: int
    ignored: tuple[str, ...]
    names: tuple[str, ...]

    def __str__(self) -> str:
        where = f" in the layout of {self.layout}" if self.layout else ""
        lines = [f"{self.tensors} tensors of a {self.part}{where}"]
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
    """Writes a checkpoint of ours from one of mmdet, mmtracking, mmcv or torchvision.

    Args:
        file: A .pth or .safetensors file.
        recipe: Of the network that the file was trained as: a name, or a YAML file.
        out: What to write: a .ckpt file for `load`, or for a backbone a .safetensors file for
            `model.backbone.weights`; folders are made.
        names: Of the classes, in the file's order; else the recipe's, else the file's own. A
            backbone has none.
        overrides: Changes of the recipe such as "model.backbone.depth=18".
        part: A whole detector, or its backbone alone, which may come from a classifier's file.
        layout: Whose names the file of a detector has; found by itself.
        ignore: Beginnings of names in the file that are left out.
        blue_first: The network takes blue, green, red; its first convolution is turned round.
        norm_eps: What the network's batch norms add to the variance; torchvision's detectors that
            were trained by its reference scripts of version 1 add 0.

    Raises:
        CheckpointError: The file cannot be read without executing code, or does not fit; the
            message lists the tensors that have no counterpart, on both sides.
        SettingsError: The recipe is wrong, nothing says what the classes are, or an option does
            not apply.
    """
    file, out = Path(file), Path(out)
    if out.exists() and file.exists() and out.samefile(file):
        raise CheckpointError(f"{out}: is the file that is read; choose another place to write")
    if out.suffix != SUFFIXES[part]:
        raise SettingsError(f"out: got {out}; the file of a {part} must end in {SUFFIXES[part]}")
    if not (isfinite(norm_eps) and norm_eps >= 0):
        raise SettingsError(f"norm_eps: got {norm_eps}; must be 0 or more")
    if "" in ignore:
        raise SettingsError("ignore: an empty beginning would leave everything out; give names")
    chosen = load_recipe(recipe, overrides)
    adjust = _Adjust(blue_first, norm_eps)
    if part == "backbone":
        if names:
            raise SettingsError("names: a backbone has no classes; leave them out")
        if layout:
            raise SettingsError("layout: names of backbones are alike in all; leave it out")
        return _import_backbone(file, chosen, out, ignore, adjust)
    settings = without_files(chosen.model)
    tensors, meta = weights.read_published(file)
    if any(name.startswith("model/") for name in tensors):
        raise CheckpointError(f"{file}: is a checkpoint of tinyscope already; use it as it is")
    classes = _classes(file, names, chosen, meta)
    model = build(settings, len(classes))
    kind = layout or layout_of(tensors)
    found = fit(tensors, LAYOUTS[kind].keys(model), LAYOUTS[kind].renamed)
    ignored = _ignored(file, found.left_over, ignore)
    left_over = [name for name in found.left_over if name not in ignored]
    background = kind == "torchvision"
    refuse_misfit(file, tuple(tensors), found, left_over, model, background_rows=background)
    values = adjust(file, found.values, model, meta)
    load_weights(model, {**model.state_dict(), **values}, file)
    written = recipe_from(plain({**chosen.model_dump(), "model": settings}))
    _make_folder(out)
    save_checkpoint(
        Checkpoint(model.state_dict(), recipe=plain(written.model_dump()), names=classes), out
    )
    return Imported(out, part, kind, len(values), ignored, classes)


@dataclass(frozen=True)
class _Adjust:
    """What is changed of the weights of a network with other constants; see `import_checkpoint`."""

    blue_first: bool
    norm_eps: float

    def __call__(
        self, file: Path, values: Mapping[str, Tensor], model: nn.Module, meta: Mapping[str, Any]
    ) -> Mapping[str, Tensor]:
        """Weights by the names of `model`.

        Raises:
            CheckpointError: The file's config says what ours does not compute.
        """
        config = meta.get("config")
        if isinstance(config, str):
            wrong = contradictions(config, model, blue_first=self.blue_first)
            if wrong:
                raise CheckpointError(f"{file}: its own config says {'; '.join(wrong)}")
        if self.blue_first:
            values = with_red_first(values)
        return values if self.norm_eps == OWN_EPS else with_norm_eps(values, model, self.norm_eps)


def _import_backbone(
    file: Path, recipe: Recipe, out: Path, ignore: Sequence[str], adjust: _Adjust
) -> Imported:
    """A backbone of any file that holds one, under names that backbones of ours load."""
    settings, path = image_model(without_files(recipe.model))
    backbone: nn.Module = table("backbone").build(settings["backbone"], f"{path}.backbone")
    report = weights.load_weights(backbone, file, unused=None)
    expected = tuple(getattr(backbone, "unused", ()))
    surplus = tuple(name for name in report.unused if not name.startswith(expected))
    ignored = _ignored(file, tuple(report.prefix + name for name in surplus), ignore)
    if left_over := [n for n in surplus if report.prefix + n not in ignored]:
        raise CheckpointError(
            f"{file}: is of another model than {path}.backbone: {len(left_over)} of its tensors "
            f"have no place: {', '.join(left_over[:3])}{', ...' * (len(left_over) > 3)}; choose "
            "the recipe of its network, or leave them out with ignore"
        )
    # Named as in a detector, which is what can be adjusted and what the file shall hold.
    owner = nn.ModuleDict({"backbone": backbone})
    _, meta = weights.read_published(file)
    state = dict(adjust(file, owner.state_dict(), owner, meta))
    _make_folder(out)
    try:
        with replaced(out) as beside:
            save_file(state, beside)
    except OSError as error:
        raise CheckpointError(f"{out}: cannot be written ({error.strerror})") from error
    return Imported(out, "backbone", None, len(report.loaded), report.unused, ())


def _ignored(file: Path, left_over: Sequence[str], ignore: Sequence[str]) -> tuple[str, ...]:
    """The tensors without a place that are left out on demand."""
    for beginning in ignore:
        if not any(name.startswith(beginning) for name in left_over):
            raise SettingsError(
                f"ignore: no tensor of {file} without a place in the model begins with "
                f"{beginning!r}; correct it, or leave it out"
            )
    return tuple(name for name in left_over if name.startswith(tuple(ignore)))


def _make_folder(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"{out}: its folder cannot be made ({error.strerror}); choose another place"
        ) from error


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
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise SettingsError(f"names: {twice[0]!r} stands there twice; every class has its own")
    if own and sorted(own) == sorted(names) and own != names:
        raise SettingsError(
            f"names: {file} has its classes in the order {', '.join(own)}, not {', '.join(names)}; "
            "name them in its order"
        )
    return names
