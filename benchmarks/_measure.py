"""What the benchmarks share: a function in a process of its own, and the memory that steps add."""

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns in a fresh process, whose memory nothing else has touched.

    Raises:
        RuntimeError: The process ended without a result; what went wrong stands on its stderr.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__}{arguments} ended without a result") from None
    finally:
        process.join()


def added_megabytes(step: Callable[[], Any], times: int = 2) -> float:
    """What so many steps add to the resident memory of this process at their peak."""
    before = _resident("VmRSS")
    # The peak that getrusage knows includes that of the process which started this one.
    Path("/proc/self/clear_refs").write_text("5")
    for _ in range(times):
        step()
    return _resident("VmHWM") - before


def _answer(channel: Connection, function: Callable[..., Any], arguments: Any) -> None:
    channel.send(function(*arguments))


def _resident(key: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith(key)) / 1024
