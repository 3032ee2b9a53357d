"""What a person sees of a run: a live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from tinyscope.engine.logs import CsvLog
from tinyscope.engine.machine import peak_memory


class Display:
    """Shows losses, images per second, memory and time left; the latter also in timing.csv.

    Args:
        folder: Of the run.
        start: Steps done before.
        steps: Length of the run.
        device: Whose memory counts.
        silent: Show and write nothing (all processes but the first).
        every: Seconds between two reports.
    """

    def __init__(
        self,
        folder: Path,
        start: int,
        steps: int,
        device: torch.device,
        *,
        silent: bool = False,
        every: float = 10.0,
    ) -> None:
        self._console = Console(quiet=silent, highlight=False, soft_wrap=True)
        self._steps, self._device, self._every, self._silent = steps, device, every, silent
        self._timing = None if silent else CsvLog(folder / "timing.csv", start)
        self._images, self._seconds, self._waited, self._count = 0, 0.0, 0.0, 0
        self._reported = time.monotonic()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if self._console.is_terminal and not silent:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=self._console)
            self._task = self._bar.add_task("", total=steps, completed=start)
            self._bar.start()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def step(
        self, done: int, losses: Mapping[str, float], images: int, seconds: float, waited: float
    ) -> None:
        """Takes in a step of `images` images that took `seconds`, `waited` of them for data."""
        self._images += images
        self._seconds += seconds
        self._waited += waited
        self._count += 1
        now = time.monotonic()
        if now - self._reported >= self._every or done == self._steps:
            self._reported = now
            self._report(done, losses)
        if self._bar is not None:
            self._bar.update(self._task, completed=done)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _report(self, done: int, losses: Mapping[str, float]) -> None:
        if self._silent or self._timing is None:
            return
        per_second = self._images / self._seconds
        memory = peak_memory(self._device) / 1e9
        left = (self._steps - done) * self._seconds / self._count
        shown = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        text = f"{shown} | {per_second:.3g} images/s | {memory:.2f} GB | {duration(left)} left"
        if self._bar is not None:
            self._bar.update(self._task, description=text)
        else:
            self.say(f"step {done} of {self._steps} | {text}")
        self._timing.write(
            done,
            {
                "images_per_second": round(per_second, 3),
                "seconds_per_step": round(self._seconds / self._count, 6),
                "waiting_fraction": round(self._waited / self._seconds, 4),
                "memory_gb": round(memory, 3),
            },
        )
        self._images, self._seconds, self._waited, self._count = 0, 0.0, 0.0, 0


def duration(seconds: float) -> str:
    """Such as 1:02:03 or 4:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
