"""`tinyscope import-checkpoint`."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tinyscope.cli.output import JsonFile, Overrides, write_json


class Layout(StrEnum):
    """Whose names a file has."""

    mmdet = "mmdet"
    mmtracking = "mmtracking"
    torchvision = "torchvision"


class Part(StrEnum):
    """What of a network is taken."""

    detector = "detector"
    backbone = "backbone"


def import_checkpoint(
    file: Annotated[
        Path, typer.Argument(help="Checkpoint of mmdet, mmtracking, mmcv or torchvision.")
    ],
    recipe: Annotated[
        str, typer.Option("--as", help="Recipe of its network: a name or a YAML file.")
    ],
    out: Annotated[Path, typer.Option(help="File to write: .ckpt, or .safetensors of a backbone.")],
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="Class, in the file's order; may be given several times."),
    ] = None,
    overrides: Overrides = None,
    part: Annotated[Part, typer.Option(help="The whole, or the backbone alone.")] = Part.detector,
    layout: Annotated[
        Layout | None, typer.Option(help="Whose names a detector's file has; else found.")
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="Beginning of names to leave out; may be given several times."),
    ] = None,
    blue_first: Annotated[
        bool, typer.Option("--blue-first", help="The network takes blue, green, red.")
    ] = False,
    norm_eps: Annotated[
        float, typer.Option(min=0, help="What its batch norms add to the variance.")
    ] = 1e-5,
    json_file: JsonFile = None,
) -> None:
    """Make a checkpoint of a published one; nothing in the file is executed."""
    from tinyscope.engine.import_checkpoint import import_checkpoint as run

    done = run(
        file,
        recipe,
        out,
        names=names,
        overrides=overrides or (),
        part=part.value,
        layout=layout.value if layout else None,
        ignore=ignore or (),
        blue_first=blue_first,
        norm_eps=norm_eps,
    )
    if json_file:
        write_json({**asdict(done), "out": str(done.out)}, json_file)
    if str(json_file) != "-":
        typer.echo(str(done))
