"""What a model costs and what could take its backbone's place, as text, JSON and a picture."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tinyscope.analysis.charts import share_chart
from tinyscope.analysis.complexity import Complexity, Part
from tinyscope.analysis.suggest import Choice, Suggestion
from tinyscope.analysis.walk import BACKBONE
from tinyscope.evaluation.table import aligned


@dataclass(frozen=True)
class ModelReport:
    """The cost of a recipe's model.

    `batch` and `precision` are those of the memory; `rois` are the proposals per image that the
    second stage is counted with, None without one; `suggested` is the suggestion's own cost as a
    backbone.
    """

    recipe: str
    complexity: Complexity
    batch: int
    precision: str
    rois: int | None = None
    suggestion: Suggestion | None = None
    suggested: Complexity | None = None

    @property
    def table(self) -> str:
        """For a terminal."""
        height, width = self.complexity.size
        images = "an image" if self.batch == 1 else f"{self.batch} images"
        title = f"{self.recipe} at {width}x{height}, memory of {images} in {self.precision}"
        blocks = [title, self._parts(), self._levels(), self._conventions()]
        if self.suggestion is not None:
            blocks.append(self._suggestion(self.suggestion))
        return "\n\n".join(blocks)

    def to_json(self) -> str:
        """Numbers as they are: operations and parameters as integers, memory in bytes."""
        total = self.complexity.together()
        content: dict[str, Any] = {
            "recipe": self.recipe,
            "size": list(self.complexity.size),
            "batch": self.batch,
            "precision": self.precision,
            "rois": self.rois,
            "parts": {p.name: _numbers(p) for p in self.complexity.parts},
            "backbone": _numbers(self.complexity.together(BACKBONE)),
            "total": _numbers(total),
            "shares": self.complexity.shares,
            "levels": [
                {
                    "stride": level.stride,
                    "size": list(level.size),
                    "channels": level.channels,
                    "receptive_field": level.field,
                }
                for level in self.complexity.levels
            ],
        }
        if self.suggestion is not None:
            content["suggestion"] = {
                "backbone": dict(self.suggestion.backbone),
                "budget": self.suggestion.budget,
                "chosen": _choice(self.suggestion.chosen),
                "runners_up": [_choice(c) for c in self.suggestion.runners_up],
            }
        return json.dumps(content, indent=2)

    def chart(self) -> str:
        """Share of the backbone's operations per stage, as SVG; the suggestion's beside it."""
        bars: dict[str, Mapping[str, float]] = {self.recipe: self.complexity.shares}
        if self.suggested is not None:
            bars["suggestion"] = self.suggested.shares
        height, width = self.complexity.size
        return share_chart(bars, of=f"backbone operations at {width}x{height}")

    def _conventions(self) -> str:
        met = f";\nthe second stage meets {self.rois} proposals" if self.rois is not None else ""
        videos = any(part.name == "motion" for part in self.complexity.parts)
        return f"{CONVENTIONS}{met}.\n{PAIR * videos}{MEMORY}"

    def _parts(self) -> str:
        whole = self.complexity.together()
        rows = [["", "parameters M", "trained M", "G multiply-adds", "published G", "%", "MB"]]
        rows += [_row(part, whole) for part in (*self.complexity.parts, whole)]
        return aligned(rows)

    def _levels(self) -> str:
        rows = [["level", "stride", "cells", "channels", "receptive field"]]
        for i, level in enumerate(self.complexity.levels):
            height, width = level.size
            field = "unknown" if level.field is None else f"{level.field} px"
            cells, channels = f"{width}x{height}", str(level.channels)
            rows.append([str(i), str(level.stride), cells, channels, field])
        return aligned(rows)

    def _suggestion(self, suggestion: Suggestion) -> str:
        settings = yaml.safe_dump(
            dict(suggestion.backbone), default_flow_style=True, sort_keys=False, width=1000
        ).strip()
        rows = [["blocks", "published G", "of the budget", "parameters M"]]
        rows += [
            [
                " ".join(map(str, choice.blocks)),
                f"{choice.operations / 1e9:.3f}",
                f"{choice.deviation:+.2%}",
                f"{choice.parameters / 1e6:.2f}",
            ]
            for choice in (suggestion.chosen, *suggestion.runners_up)
        ]
        return f"suggestion: --set 'model.backbone={settings}'\n\n{aligned(rows)}"


CONVENTIONS = (
    "multiply-adds: of convolutions and linear layers; published: as papers that used mmcv's "
    "counter,\nwith norms, ReLUs, poolings and biases"
)
PAIR = (
    "motion and aggregator are those of one other frame; a window has as many times that as it has "
    "frames.\n"
)
MEMORY = "MB: what the forward pass keeps for the backward pass."


def _row(part: Part, whole: Part) -> list[str]:
    return [
        part.name,
        f"{part.parameters / 1e6:.3f}",
        f"{part.trainable / 1e6:.3f}",
        f"{part.multiply_adds / 1e9:.3f}",
        f"{part.published / 1e9:.3f}",
        f"{100 * part.published / whole.published:.1f}",
        f"{part.saved_bytes / 1e6:.1f}",
    ]


def _numbers(part: Part) -> dict[str, Any]:
    return {
        "parameters": part.parameters,
        "trainable": part.trainable,
        "multiply_adds": part.multiply_adds,
        "published": part.published,
        "operations": dict(part.operations),
        "saved_bytes": part.saved_bytes,
    }


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "blocks": choice.blocks,
        "operations": choice.operations,
        "deviation": choice.deviation,
        "parameters": choice.parameters,
    }
