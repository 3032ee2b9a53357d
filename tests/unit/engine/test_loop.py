import json
import math
import signal
from pathlib import Path

import pytest
import standin
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision
from standin import StandIn, start

from tinyscope.engine.checkpoint import load_checkpoint
from tinyscope.engine.logs import read_rows
from tinyscope.engine.signals import Stop
from tinyscope.errors import SettingsError, TrainingError

KEPT = ("last.ckpt", "best.ckpt", "metrics.csv", "scores.csv", "dropped.json")


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in KEPT}


def test_a_run_learns_and_leaves_its_files(tmp_path):
    loop = start(tmp_path, steps=40)
    rows = read_rows(tmp_path / "metrics.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, 41))
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"])
    assert set(rows[0]) == {
        "step",
        "learning_rate",
        "gradient_norm",
        "loss",
        "brightness",
        "speckle",
    }
    assert [int(row["step"]) for row in read_rows(tmp_path / "scores.csv")] == list(range(4, 41, 4))
    assert loop.state.done == 40
    assert load_checkpoint(tmp_path / "last.ckpt").resumable
    assert not load_checkpoint(tmp_path / "best.ckpt").resumable


class StopAt(Stop):
    """Asks to stop once so many steps have looked."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @property
    def requested(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("stopped", [1, 4, 7])
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, optimizer, accumulate, stopped):
    changes = {"optimizer": optimizer, "accumulate": accumulate, "clip_norm": 1.0}
    start(tmp_path / "whole", **changes)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "parts", stop=StopAt(stopped), **changes)
    assert load_checkpoint(tmp_path / "parts" / "last.ckpt").step == stopped + 1
    start(tmp_path / "parts", resume=True, **changes)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_run_ended_between_checkpoints_repeats_what_it_did(tmp_path):
    start(tmp_path / "whole", checkpoint_every=5)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "parts", stop=StopAt(6))
    early = (tmp_path / "parts" / "last.ckpt").read_bytes()  # of step 7
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "parts", resume=True, stop=StopAt(3))
    (tmp_path / "parts" / "last.ckpt").write_bytes(early)  # as if killed before it was saved
    start(tmp_path / "parts", resume=True)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize("error", [RuntimeError, ConnectionResetError, EOFError])
def test_workers_that_the_signal_ended_too_do_not_cost_the_run(tmp_path, monkeypatch, error):
    start(tmp_path / "whole")
    stop, made = Stop(), standin.batches

    def ended(batches):
        yield from batches[:6]
        stop.signal = signal.SIGTERM
        raise error

    def training_ended(first, *rest, **options):
        batches = made(first, *rest, **options)
        return ended(batches) if first == 0 else batches  # others are scored on

    with monkeypatch.context() as patched:
        patched.setattr(standin, "batches", training_ended)
        with pytest.raises(SystemExit):
            start(tmp_path / "parts", stop=stop)
    assert load_checkpoint(tmp_path / "parts" / "last.ckpt").step == 6
    start(tmp_path / "parts", resume=True)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_finished_run_has_nothing_to_go_on_with(tmp_path):
    start(tmp_path)
    before = contents(tmp_path)
    assert start(tmp_path, resume=True).state.done == 12
    assert contents(tmp_path) == before


def test_the_best_checkpoint_is_the_average_at_the_best_score(tmp_path):
    start(tmp_path, steps=24)
    rows = read_rows(tmp_path / "scores.csv")
    best = max(rows, key=lambda row: float(row["AP50"]))
    checkpoint = load_checkpoint(tmp_path / "best.ckpt")
    assert checkpoint.step == int(best["step"])
    last = load_checkpoint(tmp_path / "last.ckpt")
    assert last.weights is last.average


def test_a_run_that_gains_no_more_stops_early_and_stays_stopped(tmp_path):
    changes = {"steps": 400, "early_stop": 2, "learning_rate": 1e-9, "ema": None}
    stopped_at = start(tmp_path, **changes).state.done
    assert stopped_at < 400
    assert start(tmp_path, resume=True, **changes).state.done == stopped_at


def test_a_loss_that_is_not_finite_names_term_and_files_and_spoils_nothing(tmp_path):
    with pytest.raises(TrainingError, match=r"step 8: brightness is nan.*nonfinite\.json"):
        start(tmp_path, bad_at=30)
    record = json.loads((tmp_path / "nonfinite.json").read_text())
    assert record["term"] == "brightness"
    assert record["files"] == ["28.png", "29.png", "30.png", "31.png"]
    last = load_checkpoint(tmp_path / "last.ckpt")
    assert last.step == 5
    assert all(tensor.isfinite().all() for tensor in last.model.values())


def test_in_accumulated_batches_the_bad_one_is_named(tmp_path):
    with pytest.raises(TrainingError, match="step 4"):
        start(tmp_path, bad_at=30, accumulate=2)
    assert json.loads((tmp_path / "nonfinite.json").read_text())["files"][0] == "28.png"


class InfiniteGradient(StandIn):
    def loss(self, outputs, targets, sizes):
        return {"root": (outputs * 0).sum().sqrt()}  # 0, of infinite slope


def test_a_gradient_that_is_not_finite_ends_the_run_too(tmp_path):
    with pytest.raises(TrainingError, match="step 1: gradient_norm is nan"):
        start(tmp_path, detector=InfiniteGradient())
    assert load_checkpoint(tmp_path / "last.ckpt").step == 0


class Plain(StandIn):
    """Draws nothing and knows no batch."""

    def __init__(self) -> None:
        super().__init__(norm=False)

    def loss(self, outputs, targets, sizes):
        return {"brightness": super().loss(outputs, targets, sizes)["brightness"]}


def test_accumulated_batches_equal_one_large_batch(tmp_path):
    halves, whole = Plain(), Plain()
    whole.load_state_dict(halves.state_dict())
    start(tmp_path / "halves", detector=halves, accumulate=2)
    start(tmp_path / "whole", detector=whole, size=8)
    torch.testing.assert_close(halves.state_dict(), whole.state_dict())


def half() -> Fabric:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**22)
    plugin = MixedPrecision("16-mixed", device="cpu", scaler=scaler)
    return Fabric(accelerator="cpu", devices=1, plugins=[plugin])


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_float16_skips_steps_of_infinite_gradients_and_goes_on_with_its_scale(tmp_path, clip_norm):
    whole = start(tmp_path / "whole", fabric=half(), clip_norm=clip_norm)
    norms = [float(r["gradient_norm"]) for r in read_rows(tmp_path / "whole" / "metrics.csv")]
    assert not math.isfinite(norms[0])  # the scale was too large and was halved
    assert 0 < norms[-1] < 100  # of gradients without their scale
    assert all(tensor.isfinite().all() for tensor in whole.state.model.parameters())
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "parts", fabric=half(), clip_norm=clip_norm, stop=StopAt(4))
    start(tmp_path / "parts", resume=True, fabric=half(), clip_norm=clip_norm)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_lost_objects_are_counted_over_the_run(tmp_path):
    start(tmp_path)
    lost = json.loads((tmp_path / "dropped.json").read_text())
    assert lost["lost"] == {"cut by the window": [0, 16, 0, 0, 0]}  # every third of 48


def test_a_score_that_the_evaluation_lacks_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"no number 'AP51'.*did you mean AP50"):
        start(tmp_path, monitor="AP51")


def test_biases_have_a_rate_of_their_own(tmp_path):
    loop = start(tmp_path, learning_rate=0.01, bias_rate_factor=2.0)
    assert {group["base"] for group in loop.optimizer.param_groups} == {0.01, 0.02}
