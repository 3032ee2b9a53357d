"""What a run writes about itself: rows of numbers by step, in CSV and for TensorBoard."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyscope.formats.atomic import write_text_atomically

Row = dict[str, str]


class CsvLog:
    """A CSV file with a row per step; a resumed run cuts off the rows that it will write again.

    A name that turns up late (a loss that starts at step 1000) becomes a new column, blank in
    earlier rows. Numbers are written such that reading gives the same float.

    Args:
        path: Created with the first row.
        step: Rows of later steps, and a half-written last row, are removed; 0 removes all.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        rows = [r for r in read_rows(path) if int(r["step"]) <= step] if path.exists() else []
        self._columns = list(rows[0]) if rows else []
        if rows:
            self._rewrite(rows)
        else:
            path.unlink(missing_ok=True)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a row, so that it is in the file when this returns."""
        row = {"step": str(step)} | {name: repr(value) for name, value in values.items()}
        if new := [name for name in row if name not in self._columns]:
            rows = read_rows(self.path) if self.path.exists() else []
            self._columns += new
            self._rewrite([*rows, row])
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(_lines([row], self._columns))

    def _rewrite(self, rows: list[Row]) -> None:
        text = ",".join(self._columns) + "\n" + _lines(rows, self._columns)
        write_text_atomically(self.path, text)


def read_rows(path: Path) -> list[Row]:
    """Rows of a log as texts by column; a last line that a kill cut short is left out."""
    text = path.read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))


def _lines(rows: list[Row], columns: list[str]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writerows(rows)
    return buffer.getvalue()


class TensorBoardLog:
    """The same numbers for TensorBoard, where it is installed; nothing otherwise."""

    def __init__(self, folder: Path, step: int) -> None:
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder), purge_step=step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class RunLogs:
    """metrics.csv (losses by step), scores.csv (evaluations), and both for TensorBoard.

    No clock stands in them: a resumed run writes the rows that one in one piece would.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._metrics = CsvLog(folder / "metrics.csv", step)
        self._scores = CsvLog(folder / "scores.csv", step)
        self._tensorboard = TensorBoardLog(folder / "tensorboard", step)

    def step(self, step: int, values: Mapping[str, float]) -> None:
        self._metrics.write(step, values)
        self._tensorboard.write(step, {f"train/{n}": v for n, v in values.items()})

    def scores(self, step: int, values: Mapping[str, float]) -> None:
        self._scores.write(step, values)
        self._tensorboard.write(step, {f"score/{n}": v for n, v in values.items()})

    def close(self) -> None:
        self._tensorboard.close()
