"""Pre-trained weights from a local file into a backbone; nothing in the file is executed."""

import logging
import pickle
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tinyscope.errors import CheckpointError

log = logging.getLogger(__name__)

WRAPPER_PREFIXES = (
    *("", "backbone.", "body.", "model.", "model/", "module.", "encoder."),
    "backbone.model.",  # a backbone of timm in a detector or classifier of ours
    "detector.backbone.",  # of a video detector
    "motion.",  # a net of optical flow in a video detector
)
"""What training frameworks put in front of a backbone's names, also two one after another."""
WRAPPERS = ("state_dict", "model_state_dict", "model", "weights")
"""Under which key training frameworks keep the weights in their checkpoint."""


@dataclass(frozen=True)
class Loaded:
    """What became of a file's tensors: `loaded` and `missing` are those the module wants.

    `unused` are those that the module has no place for, such as the classifier's.
    """

    prefix: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors loaded"]
        parts += [f"prefix {self.prefix!r} removed"] * bool(self.prefix)
        parts += [f"missing: {_few(self.missing)}"] * bool(self.missing)
        parts += [f"not used: {_few(self.unused)}"] * bool(self.unused)
        return "; ".join(parts)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The named tensors of a .safetensors file, a run's checkpoint, or a .pth with tensors alone.

    Raises:
        CheckpointError: No such file, damaged, or it holds objects that only code could restore.
    """
    return read_published(path)[0]


def read_published(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The named tensors of a file, and its `meta`: what some frameworks say about them.

    Raises:
        CheckpointError: As `read_weights`.
    """
    if not path.is_file():
        raise CheckpointError(f"weights: no file at {path}; give the path of a local file")
    if not path.stat().st_size:
        raise CheckpointError(f"weights: {path} is empty (0 bytes); fetch it again")
    try:
        if path.suffix == ".safetensors" or _starts_as_safetensors(path):
            return load_file(path), {}
        with warnings.catch_warnings():
            # Of pickles that torch did not write; it is an error that follows.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"weights: {path} is damaged or holds more than tensors{_refused(error)}, and reading "
            "it would run its code; save its state dict alone, best as .safetensors"
        ) from error
    except Exception as error:  # files of another kind make torch raise nearly anything
        raise CheckpointError(
            f"weights: {path} is damaged or no file of weights ({type(error).__name__}: {error}); "
            "fetch it again"
        ) from error
    meta = content.get("meta") if isinstance(content, Mapping) else None
    while isinstance(content, Mapping) and (inner := _unwrapped(content)) is not None:
        content = inner
    tensors = {
        str(name): value
        for name, value in (content.items() if isinstance(content, Mapping) else ())
        if isinstance(value, Tensor)
    }
    if not tensors:
        raise CheckpointError(f"weights: {path} holds no named tensors; save a state dict")
    return tensors, {str(k): v for k, v in meta.items()} if isinstance(meta, Mapping) else {}


def load_weights(
    module: nn.Module,
    path: Path,
    *,
    names: Mapping[str, str] | None = None,
    unused: Sequence[str] | None = ("fc.",),
    least: float = 1.0,
    optional: Collection[str] = (),
) -> Loaded:
    """Copies a file's tensors into `module` by name.

    The prefix that a framework put before the names is found by itself, and so is whether the file
    has the module's own names or those of `names`. Counters of batches may be missing; older files
    do not have them.

    Args:
        module: What receives the weights.
        path: File for `read_weights`.
        names: What another file calls a tensor, by the module's name, where the two differ.
        unused: Beginnings of names under the prefix that the file may hold in vain, such as the
            classifier's; None allows any.
        least: Fraction of the module's tensors that the file must hold.
        optional: Names of tensors in the module that the file may do without, if it has none of
            them; the module says itself what becomes of those.

    Raises:
        CheckpointError: The file cannot be read, is of another model, or too little matches; the
            message names the first tensors that differ. The module is then as it was.
    """
    tensors = read_weights(path)
    fits = [_fit(tensors, module, theirs) for theirs in (dict(names or {}), {})]
    theirs, own, prefix, found = max(fits, key=lambda fit: len(fit.own.keys() & fit.found.keys()))
    loaded = tuple(name for name in own if name in found)
    missing = tuple(name for name in own if name not in found)
    left_over = tuple(n for n in found if n not in own and not n.endswith("num_batches_tracked"))
    if not any(theirs.get(name, name) in found for name in optional):
        spared = {theirs.get(name, name) for name in optional}
        own = {name: tensor for name, tensor in own.items() if name not in spared}
        missing = tuple(name for name in missing if name not in spared)
    report = Loaded(prefix, loaded, missing, left_over)
    if not loaded:
        raise CheckpointError(
            f"weights: nothing in {path} matches; it holds {_few(tuple(found))}, "
            f"wanted are {_few(tuple(own))}"
        )
    if differing := [n for n in loaded if found[n].shape != own[n].shape]:
        name = differing[0]
        raise CheckpointError(
            f"weights: {path} is of another model: {name} is {tuple(found[name].shape)} there and "
            f"{tuple(own[name].shape)} here ({len(differing)} tensors differ in shape)"
        )
    if len(loaded) < least * len(own):
        raise CheckpointError(
            f"weights: {path} is of another model: it lacks {len(missing)} of {len(own)} tensors: "
            f"{_few(missing)}"
        )
    if unused is not None:
        surplus = tuple(n for n in left_over if not n.startswith(tuple(unused)))
        if surplus:
            raise CheckpointError(
                f"weights: {path} is of another model: it has {len(surplus)} tensors too many: "
                f"{_few(surplus)}"
            )
    ours = {their: our for our, their in theirs.items()}
    module.load_state_dict({ours.get(name, name): found[name] for name in loaded}, strict=False)
    log.info("%s: %s", path, report)
    return report


def _refused(error: Exception) -> str:
    """What the file would have called, in brackets, where torch says it."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f" ({found[1]})" if found else ""


def _starts_as_safetensors(path: Path) -> bool:
    """A run's checkpoints are such files by another name: a length of 8 bytes, then JSON."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _unwrapped(content: Mapping[str, object]) -> Mapping[str, object] | None:
    inner = (content.get(key) for key in WRAPPERS)
    return next((value for value in inner if isinstance(value, Mapping)), None)


class _Fit(NamedTuple):
    """How a file could be read: `own` and `found` go by the file's names, without the prefix."""

    theirs: Mapping[str, str]
    own: Mapping[str, Tensor]
    prefix: str
    found: Mapping[str, Tensor]


def _fit(tensors: Mapping[str, Tensor], module: nn.Module, theirs: Mapping[str, str]) -> _Fit:
    """The module's tensors by the file's names, and the prefix under which most of them are."""
    own = {
        theirs.get(name, name): tensor
        for name, tensor in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    some = WRAPPER_PREFIXES
    prefixes = list(dict.fromkeys(first + second for first in some for second in some))
    counts = [sum(prefix + name in tensors for name in own) for prefix in prefixes]
    prefix = prefixes[counts.index(max(counts))]
    found = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    return _Fit(theirs, own, prefix, found)


def _few(names: Sequence[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" * (len(names) > count))
