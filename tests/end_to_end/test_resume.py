"""A run that is killed anywhere and gone on with ends as one that nobody touched."""

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from small_run import run, write_data

from tinyscope.engine.checkpoint import load_checkpoint

KEPT = (
    "last.ckpt",
    "best.ckpt",
    "metrics.csv",
    "scores.csv",
    "evaluation.json",
    "dropped.json",
    "recipe.yaml",
)
STEPS = 24

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> multiprocessing.context.ForkServerContext:
    """Starts processes that have imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "small_run",
            "torch.utils.tensorboard",
            "tinyscope.detectors.dense",
            "tinyscope.nn.backbones.resnet",
        ]
    )
    return context


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return str(write_data(tmp_path_factory.mktemp("data")))


def in_own_group(data: str, out: str, resume: bool, changes: dict[str, object]) -> None:
    os.setsid()
    run(data, out, resume, **changes)


@contextlib.contextmanager
def started(server, data: str, out: Path, resume: bool, **changes: object) -> Iterator[BaseProcess]:
    process = server.Process(target=in_own_group, args=(data, str(out), resume, changes))
    process.start()
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its loader workers too
        process.join()


def to_the_end(server, data: str, out: Path, resume: bool = False, **changes: object) -> None:
    with started(server, data, out, resume, **changes) as process:
        process.join(60)
        assert process.exitcode == 0


def wait_for_rows(process: BaseProcess, out: Path, rows: int) -> None:
    log, deadline = out / "metrics.csv", time.monotonic() + 60
    while process.is_alive() and time.monotonic() < deadline:
        if log.exists() and log.read_bytes().count(b"\n") > rows:
            return
        time.sleep(0.001)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in KEPT}


@pytest.fixture(scope="module")
def whole(server, data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    to_the_end(server, data, folder)
    return folder


def test_killed_at_random_points_a_run_ends_with_the_same_bytes(server, data, whole, tmp_path):
    chance = random.Random(0)
    kills = 0
    for part in range(6):
        rows = STEPS * part // 6 + chance.randrange(STEPS // 6)
        with started(server, data, tmp_path, resume=part > 0) as process:
            wait_for_rows(process, tmp_path, rows)
            time.sleep(chance.uniform(0, 0.06))  # about a step: anywhere in it
            kills += process.is_alive()
            os.kill(process.pid, signal.SIGKILL)
    assert kills >= 5
    to_the_end(server, data, tmp_path, resume=True)
    assert contents(tmp_path) == contents(whole)


@pytest.mark.parametrize(
    ("number", "everyone"),
    [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGINT, True)],
)
def test_asked_to_stop_a_run_saves_and_can_go_on(server, data, whole, tmp_path, number, everyone):
    with started(server, data, tmp_path, resume=False) as process:
        wait_for_rows(process, tmp_path, 5)
        (os.killpg if everyone else os.kill)(process.pid, number)
        process.join(30)
        assert process.exitcode == (143 if number == signal.SIGTERM else 1)
    assert 5 <= load_checkpoint(tmp_path / "last.ckpt").step < STEPS
    to_the_end(server, data, tmp_path, resume=True)
    assert contents(tmp_path) == contents(whole)
