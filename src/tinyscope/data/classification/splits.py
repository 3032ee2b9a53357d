"""Splits of sets that come with two fixed ones, the second of which serves as `val` and `test`."""

from collections.abc import Sequence
from pathlib import Path

from tinyscope.errors import DataError
from tinyscope.formats.files import SPLITS, split_names


def known_split(split: str, offered: Sequence[str]) -> str | None:
    """What the set calls a split: `offered` are its training split and the other one.

    None for any name but those of `SPLITS`: a misspelled `train` must not become the other one.
    """
    name = split_names(split)[0]
    if name not in SPLITS:
        return None
    return offered[0] if name == "train" else offered[1]


def fixed_split(split: str, offered: Sequence[str], path: Path) -> str:
    """The same where there must be one.

    Raises:
        DataError: The set has no such split.
    """
    own = known_split(split, offered)
    if own is None:
        raise DataError(
            f"image set {path}: no split {split!r}; the set has {' and '.join(offered)}"
            f"{joining(split)}"
        )
    return own


def joining(split: str) -> str:
    """What an error adds where someone asks for two splits at once, as data sets of boxes allow."""
    return f"; splits of labeled images are not joined, {split} is not offered" * ("+" in split)
