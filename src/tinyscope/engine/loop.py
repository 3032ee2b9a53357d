"""The training loop: steps, evaluations and checkpoints, in an order that survives any kill.

Everything random in a step follows from its number, and what a step writes can be written again:
best.ckpt before last.ckpt, log rows that a resumed run cuts off at its checkpoint. So a run that
was killed anywhere goes on from last.ckpt and ends with the same bytes.
"""

import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from tinyscope.data.dropped import size_names
from tinyscope.engine.checkpoint import Checkpoint, load_weights, save_checkpoint
from tinyscope.engine.display import Display
from tinyscope.engine.ema import WeightAverage
from tinyscope.engine.files import write_text_atomically
from tinyscope.engine.logs import CsvLog, TensorBoardLog
from tinyscope.engine.machine import Precision, choose_channels_last
from tinyscope.engine.optimizer import (
    build_optimizer,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from tinyscope.engine.progress import Progress, lost_text, over_processes, plain_counts
from tinyscope.engine.schedule import Schedule
from tinyscope.engine.signals import Stop
from tinyscope.engine.step import Sealed, StepSeed, TrainStep, to_device
from tinyscope.errors import SettingsError, TrainingError
from tinyscope.settings import TrainSettings
from tinyscope.types import Batch, Dropped

BatchSource = Callable[[int, int, int, int], Iterable[Batch]]
"""(first batch, end, process, processes) to the batches of that process, numbered over the run."""
Score = Callable[[nn.Module], Mapping[str, float]]
"""A detector in eval mode to the numbers of an evaluation."""


@dataclass(frozen=True)
class Plan:
    """What a run is, fixed before it starts.

    Args:
        settings: Of the training.
        steps: Optimizer steps of the whole run.
        epoch: Steps until every sample was seen once; not a whole number.
        recipe, names, data: The resolved recipe in plain values, the classes, and the fingerprint
            of the training set; they travel in checkpoints.
        batches: Where batches come from.
        score: How the detector is evaluated; None where there is nothing to evaluate on.
    """

    settings: TrainSettings
    steps: int
    epoch: float
    recipe: Mapping[str, Any]
    names: tuple[str, ...]
    data: str
    batches: BatchSource
    score: Score | None = None

    @property
    def report_every(self) -> int:
        """Steps between evaluations, or between reports where there is nothing to evaluate."""
        return self.settings.evaluate_every or max(1, round(self.epoch))


class Loop:
    """A run in progress.

    Args:
        fabric: Launched.
        precision: That `fabric` computes in.
        detector: With fresh weights, or those of `checkpoint`.
        plan: What to do.
        folder: Where to write.
        checkpoint: What to go on from; None for the beginning.
    """

    def __init__(
        self,
        fabric: Fabric,
        precision: Precision,
        detector: nn.Module,
        plan: Plan,
        folder: Path,
        checkpoint: Checkpoint | None,
    ) -> None:
        settings = plan.settings
        self.fabric, self.plan, self.settings, self.folder = fabric, plan, settings, folder
        self.precision, self.detector = precision, detector
        self.done = checkpoint.step if checkpoint else 0
        channels_last = choose_channels_last(settings.channels_last, precision, fabric.device)
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            self.detector = nn.SyncBatchNorm.convert_sync_batchnorm(detector)
        step = TrainStep(self.detector, channels_last=channels_last).to(fabric.device)
        self.raw_optimizer = build_optimizer(
            self.detector,
            settings.optimizer,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            decay_norm_and_bias=settings.decay_norm_and_bias,
            fused=precision != "16",  # fused kernels unscale gradients themselves: no clipping
        )
        self.step, self.optimizer = fabric.setup(step, self.raw_optimizer)
        self.average = WeightAverage(self.detector, settings.ema) if settings.ema else None
        self.schedule = Schedule(
            settings.schedule,
            plan.steps,
            settings.milestones,
            settings.gamma,
            settings.warmup_steps,
            settings.warmup_ratio,
        )
        self.seed = StepSeed(settings.seed, fabric.global_rank)
        self.progress = Progress()
        self.pending = Dropped()  # objects lost in this process that `progress` does not count yet
        if checkpoint:
            self._restore(checkpoint)
        fabric.barrier()  # until all processes have read what the first one now writes to
        silent = not fabric.is_global_zero
        self.display = Display(folder, self.done, plan.steps, fabric.device, silent=silent)
        self.display.say(
            f"{fabric.device.type}, {fabric.world_size} process(es) of "
            f"{torch.get_num_threads()} thread(s), precision {precision} "
            f"(train.precision {settings.precision}), channels "
            f"{'last' if channels_last else 'first'}"
        )
        if not silent:
            self.metrics = CsvLog(folder / "metrics.csv", self.done)
            self.scores = CsvLog(folder / "scores.csv", self.done)
            self.tensorboard = TensorBoardLog(folder / "tensorboard", self.done)

    def run(self, stop: Stop) -> None:
        """Trains to the end, or until `stop` asks to leave."""
        if not self.done:
            self._save()  # says before the first step whether the disk takes a checkpoint
        per_step = self.settings.accumulate
        batches = iter(
            self.plan.batches(
                self.done * per_step,
                self.plan.steps * per_step,
                self.fabric.global_rank,
                self.fabric.world_size,
            )
        )
        self.step.train()
        while self.done < self.plan.steps and not self._stale:
            started = time.perf_counter()
            share = self._fetch(batches, stop)
            waited = time.perf_counter() - started
            values, stopping = self._learn(share, stop)
            self.done += 1
            images = sum(map(len, share)) * self.fabric.world_size
            self._record(values, images, time.perf_counter() - started, waited)
            if self._due(self.plan.report_every):
                self._report()
            if self._stale or self._due(self.settings.checkpoint_every) or stopping:
                self._save()
            if stopping and self.done < self.plan.steps:
                self._leave(stop)
        self.display.close()

    @property
    def _stale(self) -> bool:
        limit = self.settings.early_stop
        return limit is not None and self.progress.stale >= limit

    def _due(self, every: int) -> bool:
        return self.done % every == 0 or self.done == self.plan.steps

    def _fetch(self, batches: Iterator[Batch], stop: Stop) -> list[Batch]:
        """The batches of a step, all before the first is used: a step happens whole or not."""
        try:
            return [next(batches) for _ in range(self.settings.accumulate)]
        except RuntimeError:  # of a loader whose workers were ended by the signal that we got
            if not stop.requested:
                raise
            if self.fabric.world_size == 1:  # several must agree on what they save
                self._save()
            self._leave(stop)

    def _learn(self, share: list[Batch], stop: Stop) -> tuple[dict[str, float], bool]:
        """One optimizer step: its log row, and whether a process was asked to stop."""
        rate = set_learning_rate(self.raw_optimizer, self.schedule(self.done))
        rows: list[dict[str, Tensor]] = []
        for i, batch in enumerate(share):
            self.seed(self.done * len(share) + i)
            on_device = to_device(batch, self.fabric.device)
            last = i == len(share) - 1
            with self.fabric.no_backward_sync(self.step, enabled=not last):
                losses = self.step(Sealed(on_device))
                self.fabric.backward(torch.stack(list(losses.values())).sum() / len(share))
            rows.append({name: value.detach().float() for name, value in losses.items()})
            self.pending += batch.dropped
        norm = self._gradient_norm()
        names = tuple(rows[0])
        local = torch.stack([torch.stack([row[n] for n in names]) for row in rows])
        asked = local.new_full((1,), float(stop.requested))
        summary = torch.cat([local.mean(dim=0), norm.reshape(1).float(), asked])
        *means, size, stopping = self.fabric.all_reduce(summary, reduce_op="mean").tolist()
        scaled = self.precision == "16"  # then the scaler skips steps of infinite gradients
        if not all(map(math.isfinite, means)) or not (scaled or math.isfinite(size)):
            self._refuse(share, names, local.tolist(), size, rate)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average:
            self.average.update(self.done)
        losses_row = dict(zip(names, means, strict=True))
        row = {"learning_rate": rate, "gradient_norm": size, "loss": math.fsum(means)}
        return row | losses_row, stopping > 0

    def _gradient_norm(self) -> Tensor:
        """Of all gradients together, before they are clipped."""
        limit = self.settings.clip_norm
        if limit is not None or self.precision == "16":  # the latter are scaled until clipped
            norm = self.fabric.clip_gradients(
                self.step, self.optimizer, max_norm=limit or math.inf, error_if_nonfinite=False
            )
            assert norm is not None
            return norm
        return get_total_norm([p.grad for p in self.step.parameters() if p.grad is not None])

    def _refuse(
        self,
        share: list[Batch],
        names: tuple[str, ...],
        losses: list[list[float]],
        norm: float,
        rate: float,
    ) -> NoReturn:
        """Ends the run before the step does harm, and says which batch and term it was."""
        bad = [
            (i, n)
            for i, row in enumerate(losses)
            for n, v in zip(names, row, strict=True)
            if not math.isfinite(v)
        ]
        at, term = bad[0] if bad else (len(share) - 1, "gradient_norm")
        rank = self.fabric.global_rank
        path = self.folder / (f"nonfinite-{rank}.json" if rank else "nonfinite.json")
        record = {
            "step": self.done + 1,
            "term": term,
            "losses": {n: repr(v) for n, v in zip(names, losses[at], strict=True)},
            "gradient_norm": repr(norm),
            "learning_rate": rate,
            "files": list(share[at].files) if bad else [f for b in share for f in b.files],
            "image_ids": list(share[at].image_ids),
        }
        write_text_atomically(path, json.dumps(record, indent=1))
        self.display.close()
        value = record["losses"].get(term, repr(norm))  # type: ignore[attr-defined]
        raise TrainingError(
            f"step {self.done + 1}: {term} is {value}; the files of the batch are in {path}; "
            f"{self.folder / 'last.ckpt'} is from before and sound; look at those images, or "
            "lower train.learning_rate, raise train.warmup_steps or set train.precision=32"
        )

    def _record(
        self, values: Mapping[str, float], images: int, seconds: float, waited: float
    ) -> None:
        if self.fabric.is_global_zero:
            self.metrics.write(self.done, values)
            self.tensorboard.write(self.done, values)
            self.display.step(self.done, values, images, seconds, waited)

    def _count_lost(self) -> None:
        self.progress = self.progress.lost(over_processes(self.pending))
        self.pending = Dropped()

    def _report(self) -> None:
        """Evaluates, keeps the weights if they are the best, and says which objects were lost."""
        self._count_lost()
        scores: Mapping[str, float] = {}
        if self.fabric.is_global_zero and self.plan.score is not None:
            scores = self.plan.score((self.average.model if self.average else self.detector).eval())
            self.detector.train()
            self.scores.write(self.done, scores)
            self.tensorboard.write(self.done, {f"score/{n}": v for n, v in scores.items()})
            score, best = self._monitored(scores), self.progress.best
            before = "the first" if best is None else f"the best before was {best:.4f}"
            self.display.say(f"step {self.done}: {self.settings.monitor} {score:.4f} ({before})")
        scores = self.fabric.broadcast(scores)
        if scores:
            self.progress = self.progress.scored(self._monitored(scores), scores)
        if not self.progress.stale:  # without scores the latest is the best
            self._write("best.ckpt", resumable=False)
        if self.progress.recent.total:
            self.display.say(lost_text(self.progress.recent))
        self.progress = replace(self.progress, recent=Dropped())

    def _monitored(self, scores: Mapping[str, float]) -> float:
        check_monitor(self.settings.monitor, scores)
        return scores[self.settings.monitor]

    def _save(self) -> None:
        self._count_lost()
        self._write("last.ckpt", resumable=True)
        if self.fabric.is_global_zero:
            lost = plain_counts(self.progress.dropped)
            record = {"steps": self.done, "sides": size_names(), "lost": lost}
            write_text_atomically(self.folder / "dropped.json", json.dumps(record))

    def _write(self, name: str, *, resumable: bool) -> None:
        if not self.fabric.is_global_zero:
            return
        average = self.average.model.state_dict() if self.average else {}
        weights = self.detector.state_dict()
        common = {"recipe": self.plan.recipe, "names": self.plan.names, "step": self.done}
        if resumable:
            progress = self.progress.to_plain() | {
                "data": self.plan.data,
                "scaler": self.fabric.strategy.precision.state_dict(),
            }
            optimizer = optimizer_tensors(self.raw_optimizer, self.detector)
            checkpoint = Checkpoint(
                weights, average=average, optimizer=optimizer, progress=progress, **common
            )
        else:
            checkpoint = Checkpoint(average or weights, **common)
        save_checkpoint(checkpoint, self.folder / name)

    def _restore(self, checkpoint: Checkpoint) -> None:
        source = self.folder / "last.ckpt"
        load_weights(self.detector, checkpoint.model, source)
        if self.average:
            load_weights(self.average.model, checkpoint.average, source)
        load_optimizer_tensors(self.raw_optimizer, self.detector, checkpoint.optimizer)
        if scaler := checkpoint.progress["scaler"]:
            self.fabric.strategy.precision.load_state_dict(scaler)
        self.progress = Progress.from_plain(checkpoint.progress)

    def _leave(self, stop: Stop) -> NoReturn:
        self.display.close()
        self.display.say(
            f"stopped after step {self.done} of {self.plan.steps}; the same command with --resume "
            "goes on from the last checkpoint"
        )
        stop.leave()


def check_monitor(name: str, scores: Collection[str]) -> None:
    """That evaluations give the number that decides which weights are the best."""
    if name not in scores:
        raise SettingsError(
            f"train.monitor: the evaluation has no number {name!r}; use one of {', '.join(scores)}"
        )
