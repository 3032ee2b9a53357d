"""What several commands say or take in the same way."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tinyscope.errors import TinyscopeError

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
    int | None,
    typer.Option(
        min=0,
        help="Side of the tiles that an image is cut into, pixels; 0 takes the whole at once; else "
        "the recipe's.",
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(min=0, help="Of neighbouring tiles, pixels; else the recipe's."),
]
Scale = Annotated[
    float | None,
    typer.Option(help="Images are enlarged by this before they are looked at; else the recipe's."),
]
Mirror = Annotated[
    bool | None,
    typer.Option(
        "--flip/--no-flip", help="Look at every tile mirrored as well; else the recipe's."
    ),
]


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
