"""`tinyscope evaluate`: a checkpoint on a data set, or a file of detections."""

from pathlib import Path
from typing import Annotated

import typer

from tinyscope.cli.output import JsonFile, Mirror, Overlap, Scale, Tile, write_json
from tinyscope.errors import SettingsError


def evaluate(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="A run's best.ckpt; needs --data.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set that the checkpoint is scored on.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of --data.")] = "val",
    truth: Annotated[
        Path | None, typer.Option(help="COCO annotation file; with --detections.")
    ] = None,
    detections: Annotated[
        Path | None, typer.Option(help="COCO results list to be scored against --truth.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="By whose rules; else the recipe's, and coco for files."),
    ] = None,
    tile: Tile = None,
    overlap: Overlap = None,
    scale: Scale = None,
    flip: Mirror = None,
    json_file: JsonFile = None,
) -> None:
    """Score a checkpoint on a data set, or detections against annotations."""
    given = {"tile": tile, "overlap": overlap, "scale": scale, "flip": flip}
    settings = {key: value for key, value in given.items() if value is not None}
    if checkpoint and data and not (truth or detections):
        from tinyscope.engine.evaluate_model import evaluate_model

        result = evaluate_model(checkpoint, data, split, protocol, **settings)
    elif truth and detections and not (checkpoint or data):
        if settings:
            raise SettingsError(
                f"evaluate: --{next(iter(settings))} is for a checkpoint, which looks at images; "
                "leave it out where files are scored"
            )
        from tinyscope.engine.evaluate import evaluate_files

        result = evaluate_files(truth, detections, protocol or "coco")
    else:
        raise SettingsError(
            "evaluate: give either a checkpoint and --data, or --truth and --detections"
        )
    if json_file:
        write_json(result.to_json(), json_file)
    if str(json_file) != "-":
        typer.echo(result.table)
