"""Which file of a data set a path means, where the two start from different folders."""

from collections import defaultdict
from collections.abc import Iterable


class FileNames:
    """File names of a data set, to be looked up by the ends of paths.

    Args:
        names: With forward slashes; looked up are their positions.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._positions: dict[str, list[int]] = defaultdict(list)
        self._names = list(names)
        for position, name in enumerate(self._names):
            self._positions[_last(name)].append(position)

    def named(self, path: str) -> list[int]:
        """Those of the same last part, whatever their folders."""
        return self._positions.get(_last(path), [])

    def ending(self, path: str) -> list[int]:
        """Those that a path ends with, whole folders at a time."""
        whole = "/" + path.lstrip("/")
        return [i for i in self.named(path) if whole.endswith("/" + self._names[i])]

    def matching(self, path: str) -> list[int]:
        """The equal ones; else those that the path ends with, and those that end with it."""
        equal = [i for i in self.named(path) if self._names[i] == path]
        longer = [i for i in self.named(path) if self._names[i].endswith("/" + path)]
        return equal or sorted({*self.ending(path), *longer})


def _last(path: str) -> str:
    return path.rpartition("/")[2]
