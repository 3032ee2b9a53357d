"""One of several transforms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from tinyscope.catalog import Share
from tinyscope.data import TRANSFORMS
from tinyscope.errors import SettingsError
from tinyscope.formats.tables import Annotations
from tinyscope.types import Sample


@dataclass(frozen=True)
class OneOf:
    """Applies one of `transforms`, all as likely, or with 1 - `probability` none.

    The one that is drawn keeps its own probability; let that be 1 where it is meant to act.
    """

    transforms: Sequence[Callable[[Sample, np.random.Generator], Sample]]
    probability: float = 1.0

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        wanted = random.random() < self.probability
        drawn = int(random.integers(len(self.transforms)))
        return self.transforms[drawn](sample, random) if wanted else sample


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    try:
        return TRANSFORMS.check(options, supplied=("annotations",))
    except SettingsError as error:
        raise ValueError(error) from error


Inner = Annotated[dict[str, Any], AfterValidator(_checked)]
"""Name and options of a transform."""


def one_of(
    transforms: Annotated[tuple[Inner, ...], Field(min_length=1)],
    probability: Share = 1.0,
    annotations: Annotations | None = None,
) -> OneOf:
    """A transform that applies one of several.

    Args:
        transforms: Names and options, as in a recipe's list.
        probability: Of applying any.
        annotations: What is trained on.

    Raises:
        SettingsError: An option of one is wrong.
        DataError: As those raise.
    """
    built = [TRANSFORMS.build(options, annotations=annotations) for options in transforms]
    return OneOf(tuple(built), probability)
