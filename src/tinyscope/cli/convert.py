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


class SourceLayout(StrEnum):
    """What is not found out but named."""

    imagenet_vid = "imagenet-vid"


class Images(StrEnum):
    """What becomes of the images."""

    link = "link"
    copy = "copy"
    none = "none"


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder or file of a data set: COCO, YOLO, VOC or TinyPerson; or ILSVRC/."
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(help="Folder to write, new or empty; of imagenet-vid, without its files."),
    ],
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
    source_layout: Annotated[
        SourceLayout | None,
        typer.Option(
            "--from",
            help="imagenet-vid: the XML files of ImageNet VID and DET to CocoVID files, by the "
            "published lists; the images stay where they are. Else the layout is found out.",
        ),
    ] = None,
    lists: Annotated[
        Path | None,
        typer.Option(help="Of imagenet-vid: folder of the lists; else SOURCE/Lists."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Of imagenet-vid: WordNet ids and names, one a line; else its 30."),
    ] = None,
    all_stills: Annotated[
        bool,
        typer.Option(
            "--all-stills", help="Of imagenet-vid: list the images of DET too that no list names."
        ),
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Write a data set in another layout, and say what that one cannot hold."""
    if source_layout is not None:
        for option, given in (
            ("--to yolo", to is Layout.yolo),
            ("--split", splits),
            ("--tiling", tiling),
            ("--images copy", images is Images.copy),
            ("--zero-based", not one_based),
            ("--inclusive", inclusive),
            ("--min-visible", min_visible is not None),
        ):
            if given:
                raise typer.BadParameter(f"{option} does not go with --from {source_layout.value}")
        _convert_imagenet(source, target, lists, classes, all_stills, json_file)
        return
    if lists or classes or all_stills:
        raise typer.BadParameter("--lists, --classes and --all-stills need --from imagenet-vid")
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


def _convert_imagenet(
    source: Path,
    target: Path,
    lists: Path | None,
    classes: Path | None,
    all_stills: bool,
    json_file: Path | None,
) -> None:
    from tinyscope.engine.convert_imagenet import convert_imagenet_vid

    done = convert_imagenet_vid(source, target, lists=lists, classes=classes, all_stills=all_stills)
    if json_file:
        counts = {file: asdict(n) for file, n in done.files.items()}
        write_json({"target": str(done.target), "files": counts}, json_file)
    if str(json_file) != "-":
        typer.echo(str(done))
