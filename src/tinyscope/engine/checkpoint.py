"""A checkpoint: one safetensors file of named tensors with a JSON text in its header.

Reading one executes no code. `best.ckpt` holds the weights to predict with, `last.ckpt` all that
a run needs to go on. Equal states give equal bytes: no date, no host, no path of the machine.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tinyscope.errors import CheckpointError
from tinyscope.formats.atomic import replaced

FORMAT = 1
_HEADER = "tinyscope"  # one key only: safetensors writes several in random order
_GROUPS = ("model", "average", "optimizer")


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    `model` are the weights as trained, `average` their running average where one is kept,
    `optimizer` its state as "parameter name/state name". `recipe` is the resolved recipe as
    plain values, `names` the classes, `step` the number of steps done, and `progress` what else a
    run needs to go on (plain values).
    """

    model: Mapping[str, Tensor]
    recipe: Mapping[str, Any]
    names: tuple[str, ...]
    step: int = 0
    average: Mapping[str, Tensor] = field(default_factory=dict)
    optimizer: Mapping[str, Tensor] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=lambda: installed_versions())

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The weights to predict with: the averaged ones where there are any."""
        return self.average or self.model

    @property
    def resumable(self) -> bool:
        """Whether it holds what a run needs to go on, not only weights."""
        return bool(self.progress)


def installed_versions() -> dict[str, str]:
    """Of the packages that can change a result."""
    return {name: version(name) for name in ("tinyscope", "torch", "torchvision")}


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Writes `path` in one step: a kill or a full disk leaves the earlier file as it was.

    Raises:
        CheckpointError: The file cannot be written.
    """
    header = {
        "format": FORMAT,
        "step": checkpoint.step,
        "names": list(checkpoint.names),
        "versions": dict(checkpoint.versions),
        "progress": dict(checkpoint.progress),
        "recipe": dict(checkpoint.recipe),
    }
    tensors = _plain(
        {
            f"{group}/{name}": tensor
            for group in _GROUPS
            for name, tensor in getattr(checkpoint, group).items()
        }
    )
    text = json.dumps(header, allow_nan=False)
    try:
        with replaced(path) as part:
            save_file(tensors, part, {_HEADER: text})
    except (OSError, SafetensorError) as error:
        size = sum(t.numel() * t.element_size() for t in tensors.values()) / 1e6
        kept = "the earlier one is untouched" if path.exists() else "none was there before"
        raise CheckpointError(
            f"{path}: the checkpoint of {size:.0f} MB cannot be written ({_reason(error)}); "
            f"{kept}; free space or choose another folder"
        ) from error


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Reads `path`; its tensors are on the CPU.

    Raises:
        CheckpointError: The file is missing, damaged, of a newer format or no checkpoint of ours.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; name a checkpoint in it, such as best.ckpt")
    if not path.exists():
        raise CheckpointError(f"{path}: no such checkpoint; a run writes best.ckpt and last.ckpt")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata[_HEADER]) if _HEADER in metadata else None
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{path}: damaged, or no tinyscope checkpoint ({_reason(error)}); use another file"
        ) from error
    if header is None:
        raise CheckpointError(
            f"{path}: a safetensors file without tinyscope's header; if it holds backbone "
            "weights, name it in the backbone's options instead"
        )
    if header["format"] > FORMAT:
        raise CheckpointError(
            f"{path}: format {header['format']} is newer than {FORMAT}, which this version of "
            f"tinyscope reads; it was written by {header['versions']['tinyscope']}: upgrade to it"
        )
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
    for key, tensor in tensors.items():
        group, name = key.split("/", 1)
        groups[group][name] = tensor
    return Checkpoint(
        **groups,
        recipe=header["recipe"],
        names=tuple(header["names"]),
        step=header["step"],
        progress=header["progress"],
        versions=header["versions"],
    )


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: Path | str) -> None:
    """Copies `weights` into `model`; `source` is what an error calls them.

    Raises:
        CheckpointError: Names or shapes differ; nothing was copied.
    """
    own = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in own.items()}
    differing = [n for n in {**wanted, **shapes} if wanted.get(n) != shapes.get(n)]
    if differing:
        shown = "; ".join(
            f"{n}: {shapes.get(n, 'absent')} in the file, {wanted.get(n, 'absent')} in the model"
            for n in differing[:4]
        )
        more = f"; and {len(differing) - 4} more" if len(differing) > 4 else ""
        raise CheckpointError(
            f"{source}: belongs to another model; the first keys that differ: {shown}{more}; "
            "build the model from the recipe in the checkpoint"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dense tensors of their own memory, which is what the format can hold."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        dense = tensor.detach().cpu().contiguous()
        whole = dense.untyped_storage().nbytes() == dense.numel() * dense.element_size()
        if dense.data_ptr() in seen or not whole:
            dense = dense.clone()
        seen.add(dense.data_ptr())
        plain[name] = dense
    return plain


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
