"""Options are checked against signatures; errors name path, value, what is allowed, the nearest."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from beartype import beartype
from jaxtyping import jaxtyped
from pydantic import Field

from tinyscope.catalog import Table, plain
from tinyscope.errors import SettingsError


class Stage:
    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        depth: Literal[18, 50] = 18,
        blocks: tuple[int, ...] = (2, 2),
        rate: float = 0.5,
        weights: Path | None = None,
        copy: bool = False,
        style: Literal["fast", "exact"] = "fast",
    ) -> None:
        if rate < 0:
            raise ValueError(f"rate must not be negative, got {rate}")
        self.options = (tuple(in_channels), depth, blocks, rate, weights, copy, style)


@dataclass(frozen=True)
class Flip:
    probability: Annotated[float, Field(ge=0, le=1)]
    axes: tuple[str, ...] = ("x",)
    sides: list[int] = field(default_factory=lambda: [1, 2])

    def __call__(self) -> float:
        return self.probability


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True)
class CheckedFlip:
    probability: float = 0.25


class Checked(Stage):
    __init__ = jaxtyped(typechecker=beartype)(Stage.__init__)


def shrink(factor: int | tuple[int, int], **rest: float) -> tuple[object, object]:
    return factor, rest


PARTS = Table(
    "part",
    {
        "stage": f"{__name__}:Stage",
        "flip": f"{__name__}:Flip",
        "shrink": f"{__name__}:shrink",
        "absent": "surely_not_installed_package:Thing",
    },
)
SUPPLIED = ("in_channels",)


def test_defaults_are_filled_in_and_lists_become_tuples():
    checked = PARTS.check({"name": "stage", "blocks": [7, 6, 2, 1]}, "model.part", SUPPLIED)
    assert checked == {
        "name": "stage",
        "depth": 18,
        "blocks": (7, 6, 2, 1),
        "rate": 0.5,
        "weights": None,
        "copy": False,
        "style": "fast",
    }


def test_checking_twice_changes_nothing():
    once = PARTS.check({"name": "stage", "rate": 1, "weights": "a/b.pt"}, "p", SUPPLIED)
    assert once["weights"] == Path("a/b.pt")
    assert isinstance(once["rate"], float)
    assert PARTS.check(once, "p", SUPPLIED) == once


def test_building_passes_on_what_the_constructor_takes():
    part = PARTS.build({"name": "stage", "depth": 50}, "p", in_channels=[3, 4], strides=(4, 8))
    assert part.options == ((3, 4), 50, (2, 2), 0.5, None, False, "fast")
    assert PARTS.build({"name": "flip", "probability": 1}, "p", strides=(4,))() == 1.0


def test_default_factories_give_a_new_value_each_time():
    first = PARTS.check({"name": "flip", "probability": 0.5})
    first["sides"].append(3)
    assert PARTS.check({"name": "flip", "probability": 0.5})["sides"] == [1, 2]


def test_open_ended_functions_take_any_option():
    assert PARTS.build({"name": "shrink", "factor": [2, 3], "extra": 0.5}) == (
        (2, 3),
        {"extra": 0.5},
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "stag"}, r"^p\.name: no part named 'stag'; did you mean stage\? \(one of: "),
        ({"depth": 18}, r"^p: got \{'depth': 18\}; must be a mapping with the name of a part"),
        ("stage", r"^p: got 'stage'; must be a mapping with the name of a part"),
        (
            {"name": "stage", "depht": 50},
            r"^p\.depht: no such option of stage; did you mean depth\? \(options: depth, blocks,",
        ),
        ({"name": "stage", "depth": 51}, r"^p\.depth: got 51; must be 18 or 50$"),
        ({"name": "stage", "rate": "0.5"}, r"^p\.rate: got '0\.5'; must be a valid number$"),
        ({"name": "stage", "copy": 1}, r"^p\.copy: got 1; must be a valid boolean$"),
        ({"name": "stage", "blocks": [1, "2"]}, r"^p\.blocks\.1: got '2'; must be a valid integer"),
        ({"name": "stage", "style": "exakt"}, r"must be 'fast' or 'exact'; did you mean exact\?$"),
        ({"name": "stage", "in_channels": [1]}, r"^p\.in_channels: follows from the other parts"),
        ({"name": "flip"}, r"^p\.probability: must be given; it has no default$"),
        ({"name": "flip", "probability": 2}, r"got 2; must be less than or equal to 1$"),
        (
            {"name": "shrink", "factor": "2"},
            r"^p\.factor: got '2'; must be a valid integer or be a list$",
        ),
        ({"name": "stage", "rate": object()}, r"^p\.rate: got <object .* must be a number, string"),
        ({"name": "absent"}, r"^p\.name: absent needs the package surely_not_installed_package"),
    ],
)
def test_an_error_names_path_value_and_what_is_allowed(options, words):
    with pytest.raises(SettingsError, match=words):
        PARTS.check(options, "p", SUPPLIED)


def test_constructors_with_checked_types_keep_their_signatures():
    wrapped = Table("part", {"flip": f"{__name__}:CheckedFlip", "stage": f"{__name__}:Checked"})
    assert wrapped.check({"name": "flip"})["probability"] == 0.25
    assert wrapped.check({"name": "stage"}, "p", SUPPLIED)["depth"] == 18
    with pytest.raises(SettingsError, match="did you mean depth"):
        wrapped.check({"name": "stage", "dept": 18}, "p", SUPPLIED)


def test_a_value_that_the_constructor_refuses_is_an_error_of_the_settings():
    with pytest.raises(SettingsError, match=r"^p: rate must not be negative, got -1\.0"):
        PARTS.build({"name": "stage", "rate": -1}, "p", in_channels=())


def test_arguments_that_are_parts_are_left_to_the_caller():
    checked = PARTS.check({"name": "stage", "style": {"name": "x"}}, "p", SUPPLIED, ("style",))
    assert "style" not in checked


def test_the_schema_offers_every_part_with_its_options():
    table = Table("part", {"stage": f"{__name__}:Stage", "flip": f"{__name__}:Flip"})
    stage, flip = table.schema(SUPPLIED)["oneOf"]
    assert stage["properties"]["name"] == {"const": "stage"}
    assert stage["properties"]["depth"]["enum"] == [18, 50]
    assert "in_channels" not in stage["properties"]
    assert flip["required"] == ["name", "probability"]
    assert flip["additionalProperties"] is False


def test_plain_values_are_those_of_json():
    assert plain({"a": (1, Path("b"))}) == {"a": [1, "b"]}
