"""The protocol of CityPersons: miss rates by height and by the share of a person that is visible.

Zhang et al. 2017, arXiv:1702.05693, with the setups of the code published with it. For
CityPersons shrunk to tiny persons the protocol `tinyperson` is the one.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np

from tinyscope.evaluation.miss_rate import (
    LIMIT,
    Case,
    Setup,
    flagged,
    miss_rates,
    setup_cells,
    stated_or,
)
from tinyscope.evaluation.order import order_objects, rank_detections
from tinyscope.evaluation.pairing import touching
from tinyscope.evaluation.protocol import check_thresholds, make_result, make_stamp
from tinyscope.evaluation.result import Result
from tinyscope.formats.boxes import widths_and_heights
from tinyscope.formats.tables import Annotations, DetectionTable

CITYPERSONS_SETUPS = {
    "All": Setup((20.0, 1e10), visible=(0.2, np.inf)),
    "Reasonable": Setup((50.0, 1e10)),
    "Reasonable_small": Setup((50.0, 75.0)),
    "Reasonable_occ=heavy": Setup((50.0, 1e10), visible=(0.2, 0.65)),
    "small": Setup((20.0, 50.0)),
}


@dataclass(frozen=True)
class CityPersonsProtocol:
    """Scores detections as CityPersons does, at 1000 detections per image and class.

    `MR50_Reasonable` is the number that is published; `MR50` is that of all heights. Precision
    and recall, which are not published, are made from the same pairs.

    Args:
        thresholds: IoUs from which on a detection has found an object.
        first_id_unmatched: Whether a detection of the object with the id 0 counts as one that
            has found nothing, as in the published evaluator.
    """

    thresholds: tuple[float, ...] = (0.5, 0.75)
    first_id_unmatched: bool = True

    def __post_init__(self) -> None:
        check_thresholds(self.thresholds)

    def __call__(self, truth: Annotations, found: DetectionTable) -> Result:
        """The numbers of `found` against all images of `truth`."""
        case = self._case(truth, found)
        setups = tuple(CITYPERSONS_SETUPS)
        curves = list(setup_cells(case, CITYPERSONS_SETUPS, self.thresholds, covered=False))
        rates = miss_rates(curves, self.thresholds, setups, len(truth))
        result = make_result(
            truth.names,
            case.ranked,
            (part.cell for part in curves),
            thresholds=self.thresholds,
            sizes=setups,
            limits=(LIMIT,),
            stamp=make_stamp("citypersons", asdict(self), truth, found, flagged(truth)),
        )
        return replace(result, extra=rates.named, appendix=rates.table)

    def _case(self, truth: Annotations, found: DetectionTable) -> Case:
        ignored = flagged(truth)
        objects = order_objects(truth, ignored=ignored, regions=ignored)
        ranked = rank_detections(found, truth, LIMIT)
        source, heights = objects.source, widths_and_heights(objects.boxes)[:, 1]
        lost = np.flatnonzero(truth.annotation_ids[source] == 0)
        return Case(
            ranked=ranked,
            objects=objects,
            touching=touching(ranked, objects),
            object_sizes=stated_or(truth, "height", source, heights),
            detection_sizes=widths_and_heights(ranked.boxes)[:, 1],
            visible=stated_or(truth, "vis_ratio", source, np.ones(len(source))),
            lost=lost if self.first_id_unmatched else lost[:0],
        )
