"""All that changes while a run goes on, and its way into checkpoints and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_fabric.plugins import Precision
from torch import nn
from torch.optim import Optimizer

from tinyscope.engine.checkpoint import Checkpoint, load_weights, save_checkpoint
from tinyscope.engine.ema import WeightAverage
from tinyscope.engine.optimizer import load_optimizer_tensors, optimizer_tensors
from tinyscope.engine.progress import Progress


@dataclass(frozen=True)
class Identity:
    """What makes a run this run: its resolved recipe in plain values, its classes, its data.

    `data` is the fingerprint of the training set.
    """

    recipe: Mapping[str, Any]
    names: tuple[str, ...]
    data: str


@dataclass
class RunState:
    """Where a run is.

    Args:
        model: As trained.
        average: Of its weights, where one is kept.
        optimizer: Over the parameters of `model`.
        precision: Holds the scaler of float16 gradients, where there is one.
        done: Steps taken.
        progress: Evaluations and lost objects so far.
    """

    model: nn.Module
    average: WeightAverage | None
    optimizer: Optimizer
    precision: Precision
    done: int = 0
    progress: Progress = field(default_factory=Progress)

    @property
    def scored_model(self) -> nn.Module:
        """The one that is evaluated and kept as the best."""
        return self.average.model if self.average else self.model

    def save(self, path: Path, identity: Identity) -> None:
        """Writes everything that a run needs to go on."""
        checkpoint = Checkpoint(
            self.model.state_dict(),
            identity.recipe,
            identity.names,
            self.done,
            average=self.average.model.state_dict() if self.average else {},
            optimizer=optimizer_tensors(self.optimizer, self.model),
            progress={
                **self.progress.to_plain(),
                "data": identity.data,
                "scaler": self.precision.state_dict(),
            },
        )
        save_checkpoint(checkpoint, path)

    def save_weights(self, path: Path, identity: Identity) -> None:
        """Writes the weights to predict with, and no more."""
        weights = self.scored_model.state_dict()
        save_checkpoint(Checkpoint(weights, identity.recipe, identity.names, self.done), path)

    def restore(self, checkpoint: Checkpoint, source: Path) -> None:
        """Puts everything back as it was at `checkpoint`; `source` is what errors call it.

        Raises:
            CheckpointError: It belongs to another model.
        """
        load_weights(self.model, checkpoint.model, source)
        if self.average:
            load_weights(self.average.model, checkpoint.average, source)
        load_optimizer_tensors(self.optimizer, self.model, checkpoint.optimizer)
        if scaler := checkpoint.progress["scaler"]:
            self.precision.load_state_dict(scaler)
        self.progress = Progress.from_plain(checkpoint.progress)
        self.done = checkpoint.step
