"""The order of an epoch: every row once, shuffled, rows without objects at a rate."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinyscope.data.randomness import Purpose, stream
from tinyscope.errors import DataError


@dataclass
class EpochOrder:
    """Rows of `full` all once per epoch, and of `empty` another random part each time.

    Args:
        full: Rows that hold objects.
        empty: Rows that hold none.
        keep_empty: Share of the empty rows in every epoch.
        seed: Of the order.
    """

    full: NDArray[np.int64]
    empty: NDArray[np.int64]
    keep_empty: float
    seed: int
    _epoch: int = field(default=-1, init=False)
    _rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), init=False)

    def __post_init__(self) -> None:
        if not len(self):
            raise DataError(
                "an epoch would hold no window: the data set has no objects and "
                f"keep_empty of the windows is {self.keep_empty}; raise it"
            )

    def __len__(self) -> int:
        return len(self.full) + self._kept

    def __getitem__(self, position: int) -> int:
        epoch, index = divmod(position, len(self))
        if epoch != self._epoch:
            self._rows, self._epoch = self._shuffled(epoch), epoch
        return int(self._rows[index])

    @property
    def _kept(self) -> int:
        return round(self.keep_empty * len(self.empty))

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        random = stream(self.seed, Purpose.ORDER, epoch)
        kept = random.permutation(self.empty)[: self._kept]
        return random.permutation(np.concatenate([self.full, kept]))
