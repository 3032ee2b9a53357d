"""The protocol of AI-TOD: COCO's matching, its own sizes and limits, and optimal LRP.

Wang et al. 2021 (ICPR, "Tiny Object Detection in Aerial Images") and the evaluator published with
it, which AI-TOD-v2 and, with other limits, works on DOTA and VisDrone use as well.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, Literal

from jaxtyping import Bool
from numpy import ndarray

from tinyscope.errors import SettingsError
from tinyscope.evaluation.coco import COCO_THRESHOLDS
from tinyscope.evaluation.lrp import OptimalErrors
from tinyscope.evaluation.parts import Found
from tinyscope.evaluation.protocol import (
    Ranges,
    Treatment,
    check_settings,
    make_stamp,
    score_boxes,
)
from tinyscope.evaluation.result import Result
from tinyscope.formats.tables import Annotations

AI_TOD_AREAS = {
    "all": (0.0, 1e10),
    "verytiny": (0.0, 64.0),
    "tiny": (64.0, 256.0),
    "small": (256.0, 1024.0),
    "medium": (1024.0, 1e10),
}
"""Square pixels, both ends included. The paper writes 2 to 8 px for very tiny and 32 to 64 px for
medium; the evaluator starts at 0 and has no end."""

AI_TOD_LIMITS = (1, 100, 1500)

PUBLISHED_FIGURES = {
    "AP": "AP",
    "AP25": "AP25",
    "AP50": "AP50",
    "AP75": "AP75",
    "AP_vt": "AP_verytiny",
    "AP_t": "AP_tiny",
    "AP_s": "AP_small",
    "AP_m": "AP_medium",
    "AR@m0": "AR@{0}",
    "AR@m1": "AR@{1}",
    "AR@m2": "AR@{2}",
    "AR_vt": "AR_verytiny",
    "AR_t": "AR_tiny",
    "AR_s": "AR_small",
    "AR_m": "AR_medium",
    "oLRP": "oLRP",
    "oLRP_loc": "oLRP_loc",
    "oLRP_fp": "oLRP_fp",
    "oLRP_fn": "oLRP_fn",
}
"""The figures that the published evaluator prints, in its order, and our names of them; {0} to {2}
are the limits."""


@dataclass(frozen=True)
class AiTodProtocol:
    """Scores detections as AI-TOD does.

    Args:
        thresholds: IoUs from which on a detection has found an object. The first one is that of
            optimal LRP, and has to be below 1.
        areas: Name to least and largest area in square pixels, both included; the first one
            stands for all.
        limits: Detections per image and class that count, ascending. Optimal LRP is of the last.
        crowd: What `iscrowd` rows are.
        ignore: What rows with an `ignore` flag are that are no crowd. The published evaluator
            looks at crowds alone, so that they are objects.
        classes: `together` takes all classes for one, for proposals that have none.
        optimal_lrp: Whether it is computed.
    """

    in_parts: ClassVar[bool] = True
    thresholds: tuple[float, ...] = COCO_THRESHOLDS
    areas: Ranges = field(default_factory=lambda: dict(AI_TOD_AREAS))
    limits: tuple[int, ...] = AI_TOD_LIMITS
    crowd: Treatment = "region"
    ignore: Treatment = "object"
    classes: Literal["apart", "together"] = "apart"
    optimal_lrp: bool = True

    def __post_init__(self) -> None:
        check_settings(self.thresholds, self.areas, self.limits)
        if self.optimal_lrp and self.thresholds[0] >= 1:
            raise SettingsError(
                f"thresholds: got {self.thresholds}; the first is that of optimal LRP and has to "
                "be below 1, or set optimal_lrp: false"
            )

    def __call__(self, truth: Annotations, found: Found) -> Result:
        """The numbers of `found` against all images of `truth`."""
        count = 1 if self.classes == "together" else len(truth.names)
        errors = OptimalErrors(self.thresholds[0], count, len(self.areas), len(self.limits))
        result = score_boxes(
            truth,
            found,
            thresholds=self.thresholds,
            areas=self.areas,
            limits=self.limits,
            crowd=self.crowd,
            ignore=self.ignore,
            stamp=make_stamp("ai_tod", asdict(self), truth, found, self._ignored(truth)),
            together=self.classes == "together",
            watch=errors.add if self.optimal_lrp else None,
        )
        return replace(result, figures=errors.figures) if self.optimal_lrp else result

    def _ignored(self, truth: Annotations) -> Bool[ndarray, "n"]:
        """The rows that count neither for nor against, for the stamp."""
        ignored = truth.ignore if self.ignore != "object" else truth.crowd
        return ignored & ~truth.crowd if self.crowd == "object" else ignored


def published_figures(result: Result) -> dict[str, float]:
    """The numbers of the published evaluator, by its names and in its order.

    The names are those of tables (`AP_vt` is our `AP_verytiny`, `AR@m0` the recall at the first
    limit); a number that the result does not have is -1, as published.
    """
    limits = (*result.limits, 0, 0)  # there is no number of a limit 0
    return {
        published: result.get(ours.format(*limits), -1.0)
        for published, ours in PUBLISHED_FIGURES.items()
    }
