"""Random numbers of the data pipeline: a stream per purpose and position, nothing global.

What a sample looks like follows from the seed and its position alone. So a run that is resumed,
or shared out among other workers or processes, sees the same samples.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for; the numbers are part of what a seed means and never change."""

    ORDER = 0
    WINDOW = 1
    TRANSFORMS = 2
    REDRAW = 3
    REFERENCES = 4


def stream(seed: int, purpose: Purpose, number: int) -> np.random.Generator:
    """The random numbers of sample or epoch `number`, independent of all other streams."""
    return np.random.default_rng((seed, int(purpose), number))
