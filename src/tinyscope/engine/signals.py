"""Asks a run to stop after the step it is in, when the system or a person says so."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn


class Stop:
    """Whether a signal asked to stop, and how to leave once the state is saved."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._of_children: Any = None

    @property
    def requested(self) -> bool:
        return self.signal is not None

    def leave(self) -> NoReturn:
        """Ends as the signal would have: KeyboardInterrupt, or exit status 128 + its number."""
        if self.signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            signal.signal(number, signal.default_int_handler)  # asked twice: at once
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        # Loader workers may have got the signal too; torch's handler of their death would raise
        # in the middle of the step that is to be finished.
        self._of_children = signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Within it, SIGTERM and SIGINT set the `Stop` instead of ending the process.

    Outside of the main thread, where Python allows no handlers, signals work as before.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {n: signal.signal(n, stop._receive) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if stop._of_children is not None:
            signal.signal(signal.SIGCHLD, stop._of_children)
