"""What becomes of annotations that a data set flags as something else than plain objects."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinyscope.data.erase import ERASE
from tinyscope.formats.tables import Annotations

Treatment = Literal["ignore", "erase", "drop", "object"]
"""`ignore`: counts neither for nor against. `erase`: its pixels are painted over when the image is
loaded, and it is no target. `drop`: it is background. `object`: it is to be found."""

_WORDS: Mapping[Treatment, str] = {
    "ignore": "ignored",
    "erase": "painted over",
    "drop": "dropped, and so background",
    "object": "taken as objects",
}


def treated(
    annotations: Annotations, flags: Mapping[str, tuple[NDArray[np.bool_], Treatment]]
) -> Annotations:
    """The annotations with flagged rows treated as asked for, and a note of how many there are.

    Args:
        annotations: Of which crowds stay ignored where they are taken as objects.
        flags: By the name of a flag its rows (n,), and what becomes of them; no row has two.
    """
    ignore, painted = annotations.ignore, np.zeros_like(annotations.ignore)
    dropped, notes = painted, list(annotations.notes)
    for flag, (rows, treatment) in flags.items():
        if not rows.any():
            continue
        notes.append(f"{int(rows.sum())} rows marked {flag} are {_WORDS[treatment]}")
        ignore = ignore & ~rows | annotations.crowd if treatment == "object" else ignore | rows
        if treatment == "erase":
            painted = painted | rows
        elif treatment == "drop":
            dropped = dropped | rows
    marks = {**annotations.marks, ERASE: painted} if painted.any() else annotations.marks
    result = replace(annotations, ignore=ignore, marks=marks, notes=tuple(notes))
    return result.keep(~dropped) if dropped.any() else result


def without_empty(annotations: Annotations) -> Annotations:
    """The images that hold an object which is not ignored."""
    held = np.bincount(annotations.images[~annotations.ignore], minlength=len(annotations)) > 0
    if held.all():
        return annotations
    kept = annotations.take(np.flatnonzero(held))
    return kept.noted(f"{int((~held).sum())} images without objects are left out")
