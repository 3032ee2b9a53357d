"""What several commands say or take in the same way."""

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from tinyscope.errors import SettingsError, TinyscopeError


class TilingName(StrEnum):
    """How a grid of tiles ends at the border of an image."""

    flush = "flush"
    runtime = "runtime"
    clipped = "clipped"
    trimmed = "trimmed"


class VotingName(StrEnum):
    """What becomes of detections of several views that agree."""

    best = "best"
    mean = "mean"


Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting, such as train.steps=500 or data.transforms.0.horizontal=0; "
        "may be given several times.",
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write the result as JSON; - prints it."),
]
Tile = Annotated[
    str | None,
    typer.Option(
        metavar="SIDE|WIDTHxHEIGHT",
        help="Tiles that an image is cut into, pixels, such as 512 or 640x512; 0 takes the whole "
        "at once; else the recipe's.",
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(min=0, help="Of neighboring tiles, pixels; else the recipe's."),
]
Tilings = Annotated[
    TilingName | None,
    typer.Option(
        "--tiling", help="What becomes of tiles that reach out of the image; else the recipe's."
    ),
]
Merge = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="How detections of tiles are merged: a name, or a name and options as in "
        "'{name: nms, iou_threshold: 0.4}'; else the recipe's.",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(min=1, help="Detections that are kept of an image, the best; else the recipe's."),
]
Scale = Annotated[
    float | None,
    typer.Option(help="Images are enlarged by this before they are looked at; else the recipe's."),
]
Zooms = Annotated[
    list[float] | None,
    typer.Option(
        "--zoom",
        help="Look at every tile enlarged by this, such as --zoom 2 --zoom 3: what all looks find "
        "is joined; else the recipe's.",
    ),
]
Views = Annotated[
    int | None,
    typer.Option(
        metavar="1|2|4|8",
        help="Look at every tile in so many ways: 2 mirrored as well, 4 upside down as well, 8 "
        "turned as well; else the recipe's.",
    ),
]
Voting = Annotated[
    VotingName | None,
    typer.Option(
        help="What becomes of detections of several views that agree: the best remains, or their "
        "mean; else the recipe's."
    ),
]
FrameWindow = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="Which frames a detector of videos looks at together: a name, or a name and options "
        "as in '{name: sliding, radius: 5}'; else the recipe's.",
    ),
]


def tile_of(text: str | None) -> int | tuple[int, int] | None:
    """The side, or (height, width), that `--tile` says.

    Raises:
        SettingsError: It is neither a number of pixels nor two.
    """
    if text is None:
        return None
    if text.isdecimal():
        return int(text)
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if found is None:
        raise SettingsError(
            f"--tile {text}: must be the side of a square in pixels, or width x height, such as "
            "512 or 640x512"
        )
    return int(found[2]), int(found[1])


def part_of(text: str, option: str) -> dict[str, Any]:
    """Name and options of a part that an option says: a name, or a mapping in YAML.

    Raises:
        SettingsError: It is neither.
    """
    if not text.lstrip().startswith("{"):
        return {"name": text}
    try:
        part = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(
            f"{option} {text}: is no mapping of YAML; write {{name: ..., option: value}}"
        ) from error
    return {str(key): value for key, value in part.items()}


def given(**settings: Any) -> dict[str, Any]:
    """Those settings that are not None: what a command was told."""
    return {key: value for key, value in settings.items() if value is not None}


def write_json(value: Any, file: Path) -> None:
    """Writes a plain value, or one that is JSON already, to a file, or to the terminal for `-`.

    Raises:
        TinyscopeError: The file cannot be written.
    """
    text = value if isinstance(value, str) else json.dumps(value, indent=2)
    if str(file) == "-":
        typer.echo(text)
        return
    try:
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise TinyscopeError(
            f"{file}: the JSON cannot be written ({error.strerror}); choose another place"
        ) from error
