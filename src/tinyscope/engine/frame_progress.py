"""How far a video is and how fast: live on a terminal, elsewhere a line now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def frame_progress(
    name: str, count: int | None, *, every: float = 30.0
) -> Iterator[Callable[[], None]]:
    """To call once for every frame that is done.

    Args:
        name: Of the video.
        count: Frames that are expected; None where nobody knows.
        every: Seconds between two lines where there is no terminal.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    begin = reported = time.monotonic()
    done = 0

    def speed() -> str:
        return f"{done / max(time.monotonic() - begin, 1e-9):.3g} frames/s"

    if not console.is_terminal:

        def say() -> None:
            nonlocal done, reported
            done += 1
            if time.monotonic() - reported >= every:
                reported = time.monotonic()
                of = f" of {count}" if count else ""
                console.print(f"{name}: frame {done}{of}, {speed()}", markup=False)

        yield say
        return

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(escape(name), total=count, speed="")

        def show() -> None:
            nonlocal done
            done += 1
            bar.update(task, advance=1, speed=speed())

        yield show
