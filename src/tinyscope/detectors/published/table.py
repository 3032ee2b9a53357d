"""Key tables: where each tensor of a detector stands in a published file; reading and writing.

A table has an entry per tensor of the detector. It is made for a detector at hand, since the names
of some tensors depend on its options (how many levels its neck has, which norm its head).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinyscope.errors import CheckpointError

Take = Callable[[Sequence[Tensor]], Tensor]
Give = Callable[[Tensor], Sequence[Tensor]]

PREFIXES = ("", "module.", "model.", "module.model.", "detector.", "module.detector.")
"""What training frameworks put before the names of a whole detector.

The last two are mmtracking's, for the detector of single images in one of videos.
"""


@dataclass(frozen=True)
class Entry:
    """One tensor of ours: the file's names of what it is made of.

    `take` makes ours of the file's tensors, `give` the file's of ours; None where that would have
    to be invented.
    """

    names: tuple[str, ...]
    take: Take = lambda tensors: tensors[0]
    give: Give | None = lambda tensor: [tensor]


Keys = dict[str, Entry]
"""An entry per tensor of a detector, by our name."""


def stacked(names: Sequence[str]) -> Entry:
    """Ours is a stack of theirs."""
    return Entry(tuple(names), lambda tensors: torch.stack(list(tensors)), torch.unbind)


@dataclass(frozen=True)
class Layout:
    """How a framework names things: its table for a detector, and today's name for an older one."""

    keys: Callable[[nn.Module], Keys]
    renamed: Callable[[str], str]


@dataclass(frozen=True)
class Fit:
    """What a file holds of a detector, by our names; `missing` and `left_over` by the file's.

    `values` may differ in shape from the detector's tensors. Counters of batches may be missing.
    """

    prefix: str
    values: Mapping[str, Tensor]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]


def fit(tensors: Mapping[str, Tensor], keys: Keys, renamed: Callable[[str], str]) -> Fit:
    """Puts the tensors of a file where the table says; what framework prefix it has is found."""
    wanted = {name for entry in keys.values() for name in entry.names}
    prefix = max(PREFIXES, key=lambda p: len(wanted & _without(p, tensors, renamed).keys()))
    there = _without(prefix, tensors, renamed)
    values = {
        ours: entry.take([tensors[there[name]] for name in entry.names])
        for ours, entry in keys.items()
        if all(name in there for name in entry.names)
    }
    missing = wanted - there.keys()
    used = {there[name] for name in wanted & there.keys()}
    return Fit(
        prefix,
        values,
        tuple(
            name
            for entry in keys.values()
            for name in entry.names
            if name in missing and not name.endswith("num_batches_tracked")
        ),
        tuple(
            name
            for name in tensors
            if name not in used and not name.endswith("num_batches_tracked")
        ),
    )


def tensors_of(state: Mapping[str, Tensor], keys: Keys) -> dict[str, Tensor]:
    """A detector's tensors under the file's names, the reverse of `fit`.

    Raises:
        CheckpointError: The layout has no place for what the detector holds.
    """
    given: dict[str, Tensor] = {}
    for ours, entry in keys.items():
        if entry.give is None:
            raise CheckpointError(
                f"{ours}: {entry.names[0]} of this layout holds more than ours does; "
                "choose another layout"
            )
        for name, tensor in zip(entry.names, entry.give(state[ours]), strict=True):
            if name in given and not torch.equal(given[name], tensor):
                raise CheckpointError(
                    f"{ours}: this layout has one {name} for all levels, and ours differ; such a "
                    "detector cannot be written in it"
                )
            given[name] = tensor
    return given


def _without(
    prefix: str, tensors: Mapping[str, Tensor], renamed: Callable[[str], str]
) -> dict[str, str]:
    """The file's names by today's ones without the prefix."""
    return {renamed(n.removeprefix(prefix)): n for n in tensors if n.startswith(prefix)}
