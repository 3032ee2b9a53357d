"""`tinyscope convert`."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tinyscope.cli.output import JsonFile, TilingName, tile_of, write_json


class Layout(StrEnum):
    """What can be written."""

    coco = "coco"
    yolo = "yolo"


class Images(StrEnum):
    """What becomes of the images."""

    link = "link"
    copy = "copy"
    none = "none"


def convert(
    source: Annotated[
        Path, typer.Argument(help="Folder or file of a data set: COCO, YOLO, VOC or TinyPerson.")
    ],
    target: Annotated[Path, typer.Argument(help="Folder to write, new or empty.")],
    to: Annotated[Layout, typer.Option(help="Layout of the result.")] = Layout.coco,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            help="Split to convert; may be given several times; else all, and of a file the one "
            "that its name speaks of, or train.",
        ),
    ] = None,
    images: Annotated[
        Images, typer.Option(help="Hard links (copies where there are none), copies, or no images.")
    ] = Images.link,
    one_based: Annotated[
        bool,
        typer.Option("--one-based/--zero-based", help="Which number VOC files give to pixel one."),
    ] = True,
    inclusive: Annotated[
        bool,
        typer.Option("--inclusive/--exclusive", help="Whether VOC boxes hold their last pixel."),
    ] = False,
    tiling: Annotated[
        TilingName | None,
        typer.Option(
            help="List the images as tiles that end so at their border, as the tile files of "
            "TinyPerson do; the images themselves are not cut."
        ),
    ] = None,
    tile: Annotated[
        str, typer.Option(metavar="SIDE|WIDTHxHEIGHT", help="Size of such a tile, pixels.")
    ] = "640x512",
    overlap: Annotated[int, typer.Option(min=0, help="Of neighboring tiles, pixels.")] = 50,
    min_visible: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of its area from which a tile keeps a cut object; else the published one.",
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Write a data set in another layout, and say what that one cannot hold."""
    from tinyscope.engine.convert import TileCut
    from tinyscope.engine.convert import convert as run

    sides = tile_of(tile) or 0
    size = (sides, sides) if isinstance(sides, int) else sides
    cut = None if tiling is None else TileCut(tiling.value, size, overlap, min_visible)
    done = run(
        source,
        target,
        to.value,
        splits=splits,
        images=images.value,
        one_based=one_based,
        inclusive=inclusive,
        tiles=cut,
    )
    if json_file:
        counts = {split: asdict(n) for split, n in done.splits.items()}
        write_json({"target": str(done.target), "to": done.to, "splits": counts}, json_file)
    if str(json_file) != "-":
        typer.echo(str(done))
