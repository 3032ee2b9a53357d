import os
import signal
import threading

import pytest

from tinyscope.engine.signals import stop_signals


@pytest.mark.parametrize(
    ("number", "ends_with"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_is_noted_and_its_ending_kept(number, ends_with):
    before = {n: signal.getsignal(n) for n in (number, signal.SIGCHLD)}
    with stop_signals() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        with pytest.raises(ends_with):
            stop.leave()
    assert {n: signal.getsignal(n) for n in before} == before


def test_asking_twice_ends_at_once():
    with stop_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_other_threads_may_train_without_handlers():
    seen = []

    def work():
        with stop_signals() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
