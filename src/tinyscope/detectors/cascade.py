"""Second stages in a row, each trained on better boxes (Cascade R-CNN, arXiv:1712.00726)."""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from tinyscope.detectors.proposals import Proposals
from tinyscope.detectors.roi import Chosen, RoiStage, Verdict
from tinyscope.types import Detections, Pyramid, Size, Target


class CascadeStage(nn.Module):
    """Stages of which each moves its boxes and hands them to the next, which wants a higher IoU.

    Between stages every box moves by the deltas of its class: its object's in training, else the
    best one. Those that a stage has sampled are the next one's proposals, without the objects
    that were added; their score is that of their best class.

    Args:
        stages: First to last, each with a head and a matching of its own. Detections are selected
            with the thresholds and the suppression of the last one.
        loss_weights: Of each stage's losses; by default half of the weight of the one before,
            from 1.
        average: What the stages' mean is taken of: the `scores`, as published,
            or the `logits` before them, as mmdetection 2 does.

    Raises:
        ValueError: There is no stage, not one weight for each, or the mean of logits is asked for
            that mean different things.
    """

    stages: Sequence[RoiStage]

    def __init__(
        self,
        stages: Sequence[RoiStage],
        *,
        loss_weights: tuple[NonNegativeFloat, ...] | None = None,
        average: Literal["scores", "logits"] = "scores",
    ) -> None:
        super().__init__()
        if not stages:
            raise ValueError("stages is empty; a cascade needs at least one stage")
        if loss_weights is None:
            loss_weights = tuple(0.5**i for i in range(len(stages)))
        if len(loss_weights) != len(stages):
            raise ValueError(
                f"loss_weights has {len(loss_weights)} values for {len(stages)} stages; "
                "give one for each"
            )
        divisions = [getattr(stage.head, "groups", None) for stage in stages]
        if average == "logits" and any(division != divisions[0] for division in divisions):
            raise ValueError(
                "average is logits, but the heads of the stages have other groups of classes than "
                "each other; give all the same, or set average: scores"
            )
        self.stages = cast(Sequence[RoiStage], nn.ModuleList(stages))
        self.loss_weights, self.average = loss_weights, average

    def loss(
        self,
        pyramid: Pyramid,
        proposals: Sequence[Proposals],
        targets: Sequence[Target],
        sizes: Sequence[Size],
    ) -> dict[str, Tensor]:
        """Named losses () of a batch, numbered from 1: classification_1, box_1, ...

        `sizes` of the images before padding are where boxes are cut between the stages.
        """
        losses: dict[str, Tensor] = {}
        for i, (stage, weight) in enumerate(zip(self.stages, self.loss_weights, strict=True)):
            chosen = stage.choose(proposals, targets)
            logits, deltas = stage(pyramid, [c.proposals.boxes for c in chosen])
            named = stage.loss_of(chosen, logits, deltas)
            losses |= {f"{name}_{i + 1}": weight * loss for name, loss in named.items()}
            if i + 1 < len(self.stages):
                proposals = _handed_on(stage, chosen, logits, deltas, sizes)
        return losses

    @torch.no_grad()
    def classify(
        self, pyramid: Pyramid, proposals: Sequence[Tensor], sizes: Sequence[Size]
    ) -> list[Verdict]:
        """What the stages say together of the proposals (n, 4) of each image."""
        boxes, said = list(proposals), []
        for i, stage in enumerate(self.stages):
            logits, deltas = stage(pyramid, boxes)
            said.append(logits if self.average == "logits" else stage.head.scores(logits))
            if i + 1 < len(self.stages):
                boxes = _refined(stage, boxes, deltas, stage.head.best(logits), sizes)
        mean = torch.stack(said).mean(dim=0)
        last = self.stages[-1]
        scores = last.head.scores(mean) if self.average == "logits" else mean
        return last.verdicts(boxes, scores, deltas, sizes)

    def select(self, verdict: Verdict, score_threshold: float | None = None) -> Detections:
        """Detections of an image, best first, as the last stage selects them."""
        return self.stages[-1].select(verdict, score_threshold)


def _refined(
    stage: RoiStage, boxes: Sequence[Tensor], deltas: Tensor, labels: Tensor, sizes: Sequence[Size]
) -> list[Tensor]:
    """Boxes of each image by the deltas of their labels."""
    counts = [len(b) for b in boxes]
    parts = zip(boxes, torch.split(deltas, counts), torch.split(labels, counts), sizes, strict=True)
    return [stage.refine(b, moves, own, size) for b, moves, own, size in parts]


@torch.no_grad()
def _handed_on(
    stage: RoiStage,
    chosen: Sequence[Chosen],
    logits: Tensor,
    deltas: Tensor,
    sizes: Sequence[Size],
) -> list[Proposals]:
    """What the next stage learns from."""
    labels = torch.cat([c.labels for c in chosen])
    labels = torch.where(labels == stage.head.classes, stage.head.best(logits), labels)
    boxes = _refined(stage, [c.proposals.boxes for c in chosen], deltas, labels, sizes)
    scores = stage.head.scores(logits)[:, :-1].amax(dim=1)
    split = torch.split(scores, [len(b) for b in boxes])
    return [Proposals(b, s)[~c.objects] for b, s, c in zip(boxes, split, chosen, strict=True)]
