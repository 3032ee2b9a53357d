"""The training loop: steps, evaluations and checkpoints, in an order that survives any kill.

Everything random in a step follows from its number, and what a step writes can be written again:
best.ckpt before last.ckpt, log rows that a resumed run cuts off at its checkpoint. So a run that
was killed anywhere goes on from last.ckpt and ends with the same bytes.
"""

import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NoReturn

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from tinyscope.catalog import nearest
from tinyscope.data.dropped import size_names
from tinyscope.engine.checkpoint import Checkpoint
from tinyscope.engine.display import Display
from tinyscope.engine.ema import WeightAverage
from tinyscope.engine.logs import RunLogs
from tinyscope.engine.machine import Precision, choose_channels_last
from tinyscope.engine.nonfinite import GRADIENT, refuse
from tinyscope.engine.only import fix_other_norms, learn_only
from tinyscope.engine.optimizer import build_optimizer, set_learning_rate
from tinyscope.engine.progress import lost_text, over_processes, plain_counts
from tinyscope.engine.schedule import Schedule
from tinyscope.engine.signals import Stop
from tinyscope.engine.state import Identity, RunState
from tinyscope.engine.step import Sealed, StepBatch, StepSeed, TrainStep, to_device
from tinyscope.errors import SettingsError
from tinyscope.formats.atomic import write_text_atomically
from tinyscope.settings import TrainSettings
from tinyscope.types import Dropped

BatchSource = Callable[[int, int, int, int], Iterable[StepBatch]]
"""(first batch, end, process, processes) to the batches of that process, numbered over the run."""
Score = Callable[[nn.Module], Mapping[str, float]]
"""A model to the numbers of an evaluation."""


@dataclass(frozen=True)
class Plan:
    """What a run is to do, fixed before it starts.

    Args:
        settings: Of the training.
        steps: Optimizer steps of the whole run.
        epoch: Steps until every sample was seen once; not a whole number.
        identity: What checkpoints say of the run.
        batches: Where batches come from.
        score: How the model is evaluated; None where there is nothing to evaluate on.
        objects: Whether there are objects that can be lost on the way, and are counted.
    """

    settings: TrainSettings
    steps: int
    epoch: float
    identity: Identity
    batches: BatchSource
    score: Score | None = None
    objects: bool = True

    @property
    def report_every(self) -> int:
        """Steps between evaluations, or between reports where there is nothing to evaluate."""
        return self.settings.evaluate_every or max(1, round(self.epoch))

    def schedule(self) -> Schedule:
        return schedule_of(self.settings, self.steps)


class Loop:
    """A run in progress.

    Args:
        fabric: Launched.
        precision: That `fabric` computes in.
        model: With fresh weights; see `TrainStep`.
        plan: What to do.
        folder: Where to write.
        checkpoint: What to go on from; None for the beginning.
    """

    def __init__(
        self,
        fabric: Fabric,
        precision: Precision,
        model: nn.Module,
        plan: Plan,
        folder: Path,
        checkpoint: Checkpoint | None,
    ) -> None:
        settings, device = plan.settings, fabric.device
        self.fabric, self.plan, self.folder, self.precision = fabric, plan, folder, precision
        if fabric.world_size > 1 and device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        learning = "" if settings.only is None else self._learn_only(model, settings.only)
        channels_last = choose_channels_last(settings.channels_last, precision, device)
        step = TrainStep(model, channels_last=channels_last).to(device)
        optimizer = build_optimizer(
            model,
            settings.optimizer,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            decay_norm_and_bias=settings.decay_norm_and_bias,
            bias_learning_rate_factor=settings.bias_rate_factor,
            fused=precision != "16",  # fused kernels unscale gradients themselves: no clipping
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
        )
        average = WeightAverage(model, settings.ema) if settings.ema else None
        self.state = RunState(model, average, optimizer, fabric.strategy.precision)
        self.step, self.optimizer = fabric.setup(step, optimizer)
        self.schedule = plan.schedule()
        self.seed = StepSeed(settings.seed, fabric.global_rank)
        self.pending = Dropped()  # lost in this process and not counted in the progress yet
        if checkpoint:
            self.state.restore(checkpoint, folder / "last.ckpt")
        fabric.barrier()  # until all processes have read what the first one now writes to
        first, done = fabric.is_global_zero, self.state.done
        self.display = Display(folder, done, plan.steps, device, silent=not first)
        self.logs = RunLogs(folder, done) if first else None
        self.display.say(
            f"training on {device.type}, {fabric.world_size} process(es) of "
            f"{torch.get_num_threads()} thread(s); precision {precision} "
            f"(train.precision={settings.precision}), channels "
            f"{'last' if channels_last else 'first'} "
            f"(train.channels_last={str(settings.channels_last).lower()}){learning}"
        )

    def run(self, stop: Stop) -> None:
        """Trains to the end, or until `stop` asks to leave."""
        state, per_step = self.state, self.plan.settings.accumulate
        spans = (state.done * per_step, self.plan.steps * per_step)
        batches = self.plan.batches(*spans, self.fabric.global_rank, self.fabric.world_size)
        if not state.done:
            self._save()  # says before the first step whether the disk takes a checkpoint
        if state.done == self.plan.steps or self._stale:
            self.display.say(f"the run is complete: {state.done} steps are done")
        iterator = iter(batches)
        self._to_training()
        while state.done < self.plan.steps and not self._stale:
            started = time.perf_counter()
            share = self._fetch(iterator, stop)
            waited = time.perf_counter() - started
            row, stopping = self._learn(share, stop)
            state.done += 1
            if self.logs:
                self.logs.step(state.done, row)
            images = sum(map(len, share)) * self.fabric.world_size
            self.display.step(state.done, row, images, time.perf_counter() - started, waited)
            if self._due(self.plan.report_every):
                self._report()
            if self._stale or self._due(self.plan.settings.checkpoint_every) or stopping:
                self._save()
            if stopping and state.done < self.plan.steps:
                self._leave(stop)
        self.close()

    @staticmethod
    def _learn_only(model: nn.Module, parts: Sequence[str]) -> str:
        """Freezes the rest, and says so."""
        count = learn_only(model, parts)
        return f"; only {', '.join(parts)} learn: {count} numbers (train.only)"

    def _to_training(self) -> None:
        self.step.train()
        if self.plan.settings.only is not None:
            fix_other_norms(self.state.model, self.plan.settings.only)

    def close(self) -> None:
        self.display.close()
        if self.logs:
            self.logs.close()

    @property
    def _stale(self) -> bool:
        limit = self.plan.settings.early_stop
        return limit is not None and self.state.progress.stale >= limit

    def _due(self, every: int) -> bool:
        return self.state.done % every == 0 or self.state.done == self.plan.steps

    def _fetch(self, batches: Iterator[StepBatch], stop: Stop) -> list[StepBatch]:
        """The batches of a step, all before the first is used: a step happens whole or not."""
        try:
            return [next(batches) for _ in range(self.plan.settings.accumulate)]
        except (RuntimeError, OSError, EOFError):
            # Of a loader whose workers were ended by the signal that we got, perhaps while they
            # handed a batch over.
            if not stop.requested:
                raise
            if self.fabric.world_size == 1:  # several must agree on what they save
                self._save()
            self._leave(stop)

    def _learn(self, share: list[StepBatch], stop: Stop) -> tuple[dict[str, float], bool]:
        """One optimizer step: its log row, and whether a process was asked to stop."""
        state = self.state
        rate = set_learning_rate(state.optimizer, self.schedule(state.done))
        rows = []
        for i, batch in enumerate(share):
            self.seed(state.done * len(share) + i)
            last = i == len(share) - 1
            with self.fabric.no_backward_sync(self.step, enabled=not last):
                losses: dict[str, Tensor] = self.step(Sealed(to_device(batch, self.fabric.device)))
                stacked = torch.stack([loss.float() for loss in losses.values()])
                self.fabric.backward(stacked.sum() / len(share))
            rows.append(stacked.detach())
            self.pending += batch.dropped
        names, norm = tuple(losses), self._clip()
        asked = norm.new_full((1,), float(stop.requested))
        # One transfer from the device per step, after all of its work was queued.
        summary = torch.cat([torch.stack(rows).mean(dim=0), norm.reshape(1).float(), asked])
        shared = self.fabric.all_reduce(summary, reduce_op="mean")
        assert isinstance(shared, Tensor)
        *means, size, stopping = shared.tolist()
        scaled = self.precision == "16"  # then steps with infinite gradients are skipped
        if not all(map(math.isfinite, means)) or not (scaled or math.isfinite(size)):
            self.close()
            own = [dict(zip(names, row.tolist(), strict=True)) for row in rows]
            over_all = dict(zip(names, means, strict=True))
            rank = self.fabric.global_rank
            refuse(self.folder, state.done + 1, rank, share, own, over_all, size)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if state.average:
            state.average.update(state.done)
        row = {"learning_rate": rate, GRADIENT: size, "loss": math.fsum(means)}
        return row | dict(zip(names, means, strict=True)), stopping > 0

    def _clip(self) -> Tensor:
        """Clips the gradients where that is wanted; their norm before it."""
        limit = self.plan.settings.clip_norm
        if limit is None and self.precision != "16":
            return get_total_norm([p.grad for p in self.step.parameters() if p.grad is not None])
        # Also where there is no limit: gradients of float16 are scaled until they are clipped.
        norm = self.fabric.clip_gradients(
            self.step, self.optimizer, max_norm=limit or math.inf, error_if_nonfinite=False
        )
        assert norm is not None
        return norm

    def _report(self) -> None:
        """Evaluates, keeps the weights if they are the best, and says which objects were lost."""
        state, name = self.state, self.plan.settings.monitor
        self._count_lost()
        scores: Mapping[str, float] = {}
        if self.logs and self.plan.score is not None:
            scores = self.plan.score(state.scored_model.eval())
            self._to_training()
            check_monitor(name, scores)
            self.logs.scores(state.done, scores)
            best = state.progress.best
            before = "the first" if best is None else f"the best so far {best:.4f}"
            self.display.say(f"step {state.done}: {name} {scores[name]:.4f} ({before})")
        scores = self.fabric.broadcast(scores)
        if scores:
            state.progress = state.progress.scored(scores[name], scores)
        if not state.progress.stale and self.logs:  # without scores the latest is the best
            state.save_weights(self.folder / "best.ckpt", self.plan.identity)
        if state.progress.recent.total:
            self.display.say(lost_text(state.progress.recent))
        state.progress = replace(state.progress, recent=Dropped())

    def _count_lost(self) -> None:
        self.state.progress = self.state.progress.lost(over_processes(self.pending))
        self.pending = Dropped()

    def _save(self) -> None:
        self._count_lost()
        if self.logs:
            self.state.save(self.folder / "last.ckpt", self.plan.identity)
            if self.plan.objects:
                lost = plain_counts(self.state.progress.dropped)
                record = {"steps": self.state.done, "sides": size_names(), "lost": lost}
                write_text_atomically(self.folder / "dropped.json", json.dumps(record))

    def _leave(self, stop: Stop) -> NoReturn:
        self.close()
        self.display.say(
            f"stopped after step {self.state.done} of {self.plan.steps}; the same command with "
            "--resume goes on from the last checkpoint"
        )
        stop.leave()


def schedule_of(settings: TrainSettings, steps: int) -> Schedule:
    """The learning rates of a run of so many steps.

    Raises:
        SettingsError: Warm-up or milestones do not fit into the run.
    """
    return Schedule(
        settings.schedule,
        steps,
        settings.milestones,
        settings.gamma,
        settings.warmup_steps,
        settings.warmup_ratio,
        warmup=settings.warmup,
    )


def check_length(settings: TrainSettings) -> None:
    """That the schedule fits into the run, where its length is known before the data are read.

    Raises:
        SettingsError: As `schedule_of`.
    """
    if settings.steps is not None:
        schedule_of(settings, settings.steps)


def check_monitor(name: str, scores: Collection[str]) -> None:
    """That evaluations give the number that decides which weights are the best."""
    if name not in scores:
        raise SettingsError(
            f"train.monitor: the evaluation has no number {name!r}{nearest(name, scores)} "
            f"({', '.join(islice(scores, 8))}, ...)"
        )
    for errors, kind in (("MR", "a miss rate"), ("oLRP", "an error")):
        if name.startswith(errors):
            raise SettingsError(
                f"train.monitor: {name} is {kind}, of which less is better, and the weights kept "
                "are those with the most; set a precision such as AP50"
            )
