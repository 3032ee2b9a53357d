"""Rows of a JSON file, taken apart into columns; a row that does not fit is named."""

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tinyscope.errors import DataError

_PIECE = 1 << 20  # characters parsed at once, so that few rows are Python objects at a time
_TRIES = 8  # closing braces tried from the end of a piece, in case rows hold objects themselves


@dataclass(frozen=True)
class Rows:
    """A list of JSON objects; `name` says in errors what one row is, such as "a.json: image"."""

    rows: Sequence[Any]
    name: str
    before: int = 0  # rows of the file that stand before these

    def __len__(self) -> int:
        return len(self.rows)

    def refuse(self, row: int, problem: str) -> NoReturn:
        """Raises DataError for the row at position `row`."""
        content = self.rows[row]
        known = content.get("id") if isinstance(content, Mapping) else None
        place = f"number {row + self.before}, counted from 0" if known is None else known
        raise DataError(f"{self.name} {place}: {problem}")

    def values(self, key: str) -> list[Any]:
        """What stands under `key` in every row."""
        try:
            return list(map(itemgetter(key), self.rows))
        except (KeyError, TypeError, IndexError):
            for number, row in enumerate(self.rows):
                if not isinstance(row, Mapping):
                    self.refuse(number, f"expected an object with a key {key!r}, got {row!r}")
                if key not in row:
                    self.refuse(number, f"the key {key!r} is missing; add it to the row")
            raise

    def integers(self, key: str) -> NDArray[np.int64]:
        """A column of whole numbers."""
        values = self.values(key)
        if set(map(type, values)) <= {int}:
            try:
                return np.array(values, dtype=np.int64)
            except OverflowError:
                row = next(i for i, v in enumerate(values) if not -(2**63) <= v < 2**63)
                self.refuse(row, f"{key} {values[row]} is beyond 64 bits; number anew")
        floats = self._floats(values, key, "a whole number")
        wrong = floats != np.rint(floats)
        if wrong.any():
            row = int(wrong.argmax())
            self.refuse(row, f"{key} must be a whole number, got {values[row]!r}")
        return floats.astype(np.int64)

    def numbers(self, key: str) -> NDArray[np.float64]:
        """A column of finite numbers."""
        return self._floats(self.values(key), key, "a finite number")

    def flags(self, key: str) -> NDArray[np.bool_]:
        """A column of 0 and 1, or false and true; 0 where the key is missing."""
        values = [row.get(key, 0) for row in self.rows]
        wrong = [i for i, v in enumerate(values) if v is None or v not in (0, 1)]
        if wrong:
            self.refuse(wrong[0], f"{key} must be 0 or 1, got {values[wrong[0]]!r}")
        return np.array(values, dtype=np.bool_)

    def mentions(self, key: str) -> bool:
        """Whether any row has the key."""
        return any(key in row for row in self.rows)

    def numbers_or_nan(self, key: str) -> NDArray[np.float64]:
        """A column of finite numbers; NaN where the key is missing."""
        column = np.full(len(self), np.nan)
        stated = np.array([key in row for row in self.rows], dtype=np.bool_)
        part = Rows([row for row in self.rows if key in row], self.name)
        column[stated] = part.numbers(key)
        return column

    def boxes(self, key: str = "bbox") -> NDArray[np.float64]:
        """A column of boxes (n, 4) as the file writes them: x, y, width, height; all finite."""
        values = self.values(key)
        try:
            lengths = set(map(len, values))
            kinds = set(map(type, chain.from_iterable(values)))
        except TypeError:
            lengths, kinds = {0}, set()
        if not (lengths <= {4} and kinds <= {int, float}):
            row = next(i for i, v in enumerate(values) if not _is_four_numbers(v))
            self.refuse(row, f"{key} must be [x, y, width, height], got {values[row]!r}")
        flat = np.fromiter(chain.from_iterable(values), np.float64, count=4 * len(values))
        boxes = flat.reshape(-1, 4)
        wrong = ~np.isfinite(boxes).all(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            self.refuse(
                row,
                f"{key} {values[row]} (x, y, width, height) is not finite; "
                "remove the row or correct the box",
            )
        return boxes

    def _floats(self, values: list[Any], key: str, kind: str) -> NDArray[np.float64]:
        if not set(map(type, values)) <= {int, float}:
            row = next(i for i, v in enumerate(values) if type(v) not in (int, float))
            self.refuse(row, f"{key} must be {kind}, got {values[row]!r}")
        floats = np.array(values, dtype=np.float64)
        wrong = ~np.isfinite(floats)
        if wrong.any():
            row = int(wrong.argmax())
            self.refuse(row, f"{key} must be {kind}, got {values[row]!r}")
        return floats


def _is_four_numbers(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 4 and all(type(v) in (int, float) for v in value)
    )


def read_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        DataError: The file is missing, is not JSON, or holds something else than an object.
    """
    try:
        content = _parsed(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(_unreadable(path, error)) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid JSON: {error}; is the file complete?") from error
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: expected an object with images, annotations and categories, "
            f"got a {type(content).__name__}"
        )
    return content


def read_rows(path: Path) -> Iterator[list[Any]]:
    """The rows of a JSON file that holds one list, a piece of the list at a time.

    Raises:
        DataError: The file is missing, is not JSON, or holds something else than a list.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_PIECE).lstrip()
            if not text.startswith("["):
                raise DataError(f"{path}: expected a list of rows, the file starts {text[:20]!r}")
            # What the parser sees before the text: after a piece, a row for the comma to follow.
            opening, text, wanted = "[", text[1:], _PIECE
            while True:
                rows, stop = _complete_rows(opening, text)
                if rows:
                    yield rows
                    opening, text, wanted = "[0", text[stop:], _PIECE
                block = file.read(wanted)
                if not block:
                    break
                text += block
                wanted *= 2
        rest = _parsed(opening + text)[len(opening) - 1 :]
    except OSError as error:
        raise DataError(_unreadable(path, error)) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(f"{path}: not valid JSON: {reason}; is the file complete?") from error
    if rest:
        yield rest


def _parsed(text: str) -> Any:
    # The collector would search the growing heap of new objects for cycles again and again,
    # which takes as long as the parsing; JSON has none.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return json.loads(text)
    finally:
        if collecting:
            gc.enable()


def _complete_rows(opening: str, text: str) -> tuple[list[Any], int]:
    """The rows that stand whole at the start of `text`, and where they end."""
    stop = len(text)
    for _ in range(_TRIES):
        stop = text.rfind("}", 0, stop)
        if stop < 0:
            break
        try:
            return _parsed(f"{opening}{text[: stop + 1]}]")[len(opening) - 1 :], stop + 1
        except json.JSONDecodeError:
            continue
    return [], 0


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path}: cannot be read: {error.strerror or error}; check the path"
