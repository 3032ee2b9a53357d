"""Where the golden files lie, which of them a topic has, and which of them nothing has read."""

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared" / "golden"


def root() -> Path:
    """The environment variable TINYSCOPE_GOLDEN, else the full set beside the project, else
    the small committed selection."""
    if given := os.environ.get("TINYSCOPE_GOLDEN"):
        return Path(given)
    return SHARED if SHARED.is_dir() else HERE / "data"


class Topic:
    """The files of one folder, read by one test file.

    `pending` maps patterns of file names to the part that is still to be built for them; such
    files are reported as skipped. A file that is neither read nor pending fails the run, through
    the test that calls `unread`; so does a pattern of `pending` whose file is read.
    """

    def __init__(self, name: str, pending: Mapping[str, str] | None = None) -> None:
        self.folder = root() / name
        self.pending = dict(pending or {})
        self._read: set[str] = set()

    def files(self) -> list[str]:
        """Every fixture of the folder, by its path in it."""
        if not self.folder.is_dir():
            return []
        found = (p for p in self.folder.rglob("*") if p.is_file() and p.name != "README.md")
        return sorted(p.relative_to(self.folder).as_posix() for p in found)

    def cases(self, *patterns: str) -> list[str]:
        """The files that match any of `patterns`, for parametrization."""
        return [f for f in self.files() if any(fnmatch(f, pattern) for pattern in patterns)]

    def has(self, file: str) -> bool:
        return (self.folder / file).is_file()

    def json(self, file: str) -> Any:
        """A JSON file's content; an empty dict where the folder lacks it."""
        self._read.add(file)
        return json.loads((self.folder / file).read_text()) if self.has(file) else {}

    def companion(self, file: str) -> Any:
        """The content of a JSON file that another one needs; without it the test fails."""
        content = self.json(file)
        assert content, f"{self.folder / file}: missing or empty, so nothing would be compared"
        return content

    def tensors(self, file: str) -> dict[str, Tensor]:
        """A safetensors file's content; an empty dict where the folder lacks it."""
        self._read.add(file)
        if not self.has(file):
            return {}
        with safe_open(self.folder / file, "pt") as opened:
            return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118

    def pending_cases(self) -> list[Any]:
        """A parameter per pending file that is there, to be skipped with its reason."""
        return [
            pytest.param(reason, id=file)
            for file in self.files()
            if (reason := self._reason(file)) is not None
        ]

    def unread(self) -> list[str]:
        """What is wrong with the folder's coverage, a line per file; call it last."""
        wrong = []
        for file in self.files():
            reason = self._reason(file)
            if file not in self._read and reason is None:
                wrong.append(f"{self.folder / file}: no test reads it")
            if file in self._read and reason is not None:
                wrong.append(f"{self.folder / file}: read, so no longer pending ({reason})")
        return wrong

    def _reason(self, file: str) -> str | None:
        return next((why for glob, why in self.pending.items() if fnmatch(file, glob)), None)


def hashed(name: str, shape: Sequence[int]) -> Tensor:
    """Float64 numbers in [-1, 1) that a name and a position decide, the same in any language."""
    count = int(np.prod(shape, dtype=np.int64))
    wrap = np.uint64(2**32)
    x = np.arange(count, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(_crc(name))
    x %= wrap
    x ^= x >> np.uint64(16)
    x = x * np.uint64(2246822519) % wrap
    x ^= x >> np.uint64(13)
    x = x * np.uint64(3266489917) % wrap
    x ^= x >> np.uint64(16)
    return torch.from_numpy(2 * x.astype(np.float64) / 2.0**32 - 1).reshape(*shape)


def filled(
    module: torch.nn.Module, prefix: str = "", renamed: Mapping[str, str] | None = None
) -> dict[str, Tensor]:
    """A state dict by the fill rule.

    `prefix` stands before the names that are hashed; `renamed` has other ones for some of ours.
    """
    return dict(_filled(module, prefix, renamed or {}))


def _filled(
    module: torch.nn.Module, prefix: str, renamed: Mapping[str, str]
) -> Iterator[tuple[str, Tensor]]:
    norms = {name for name, m in module.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    for name, old in module.state_dict().items():
        owner, _, kind = name.rpartition(".")
        if kind == "num_batches_tracked":
            yield name, torch.zeros_like(old)
            continue
        u = hashed(prefix + renamed.get(name, name), old.shape)
        if owner in norms:
            value = {
                "weight": 0.5 + 0.25 * u,
                "bias": 0.1 * u,
                "running_mean": 0.1 * u,
                "running_var": 1 + 0.5 * u,
            }[kind]
        elif kind == "bias":
            value = 0.1 * u
        else:
            value = u * (6 / old[0].numel()) ** 0.5
        yield name, value.to(old.dtype)


def _crc(name: str) -> int:
    return zlib.crc32(name.encode())


def assert_near(found: Tensor, expected: Tensor, fraction: float) -> None:
    """Equal shapes, and no error above `fraction` of the largest expected value."""
    assert found.shape == expected.shape
    error = (found.double() - expected.double()).abs().max()
    assert error <= fraction * expected.abs().max(), f"off by {error:.3g}"
