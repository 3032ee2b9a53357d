"""Random numbers for many samples at once, each following from the seed and its position alone.

A generator per sample would cost more than cropping a small image. Instead the position is mixed
as splitmix64 does it (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators", doi:10.1145/2660193.2660195), whose mixing turns counters into random bits.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)


class Draws:
    """Random numbers of the samples at `positions` of a run; each call gives new ones."""

    def __init__(self, seed: int, positions: Sequence[int]) -> None:
        with np.errstate(over="ignore"):
            run = _mixed(np.array([seed], dtype=np.uint64))
            self._state = _mixed(run + np.asarray(positions, dtype=np.uint64) * _STEP)

    def bits(self) -> NDArray[np.uint64]:
        """64 random bits for each sample."""
        with np.errstate(over="ignore"):
            self._state = self._state + _STEP
        return _mixed(self._state)

    def uniform(self) -> NDArray[np.float64]:
        """A number in [0, 1) for each sample."""
        # The upper 53 bits are what a float64 holds exactly.
        return (self.bits() >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def below(self, end: int) -> NDArray[np.int64]:
        """A whole number from 0 to `end` - 1 for each sample."""
        return (self.uniform() * end).astype(np.int64)

    def split(self, counts: Sequence[int]) -> list["Draws"]:
        """The same for groups of consecutive samples."""
        parts = []
        for state in np.split(self._state, np.cumsum(counts)[:-1]):
            part = Draws.__new__(Draws)
            part._state = state
            parts.append(part)
        return parts


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed
