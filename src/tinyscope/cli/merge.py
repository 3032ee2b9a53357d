"""`tinyscope merge`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tinyscope.cli.output import JsonFile, part_of, write_json


def merge(
    detections: Annotated[
        Path, typer.Argument(help="COCO results list with ids and pixels of tiles.")
    ],
    tiles: Annotated[
        Path, typer.Option(help="COCO file of the tiles: each image has a corner x1, y1, x2, y2.")
    ],
    out: Annotated[Path, typer.Option(help="COCO results list of the whole images to write.")],
    rule: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="nms, soft_nms, ownership, pooled_nms; tinybenchmark, sspnet, bottom_heavy as "
            "published; or a name and options as in '{name: sspnet, iou_threshold: 0.6}'.",
        ),
    ] = "nms",
    truth: Annotated[
        Path | None,
        typer.Option(help="COCO file of the whole images; else the old_images of --tiles."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Detections that are kept of an image; else all.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Merge detections that were made tile by tile into those of whole images."""
    from tinyscope.engine.merge import merge as run

    done = run(detections, tiles, out, part_of(rule, "--rule"), truth=truth, limit=limit)
    if json_file:
        write_json({**asdict(done), "path": str(done.path)}, json_file)
    if str(json_file) != "-":
        typer.echo(str(done))
