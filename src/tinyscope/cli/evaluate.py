"""`tinyscope evaluate`: a checkpoint on a data set, or a file of detections."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tinyscope.cli.output import (
    FrameWindow,
    JsonFile,
    Limit,
    Merge,
    Overlap,
    Scale,
    Tile,
    Tilings,
    Views,
    Voting,
    Zooms,
    given,
    part_of,
    tile_of,
    write_json,
)
from tinyscope.errors import SettingsError


def evaluate(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="A run's best.ckpt; needs --data.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set that the checkpoint is scored on.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of --data; else the recipe's, or val.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="COCO annotation file; with --detections, or of the whole images where --data "
            "holds tiles of them."
        ),
    ] = None,
    detections: Annotated[
        Path | None, typer.Option(help="COCO results list to be scored against --truth.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="By whose rules: a name, or a name and options as in "
            "'{name: tinyperson, limits: [1000]}'; else the recipe's, and coco for files."
        ),
    ] = None,
    tile: Tile = None,
    overlap: Overlap = None,
    tiling: Tilings = None,
    merge: Merge = None,
    limit: Limit = None,
    scale: Scale = None,
    zoom: Zooms = None,
    views: Views = None,
    voting: Voting = None,
    frame_window: FrameWindow = None,
    json_file: JsonFile = None,
) -> None:
    """Score a checkpoint on a data set, or detections against annotations."""
    settings = given(
        tile=tile_of(tile),
        overlap=overlap,
        tiling=tiling and tiling.value,
        merge=merge and part_of(merge, "--merge"),
        limit=limit,
        scale=scale,
        zooms=tuple(zoom) if zoom else None,
        views=views,
        voting=voting and voting.value,
        frames=frame_window and part_of(frame_window, "--frame-window"),
    )
    rules = protocol and part_of(protocol, "--protocol")
    if checkpoint and data and not detections:
        from tinyscope.engine.evaluate_model import evaluate_model

        result = evaluate_model(checkpoint, data, split, rules, truth=truth, **settings)
    elif truth and detections and not (checkpoint or data):
        if settings:
            raise SettingsError(
                f"evaluate: --{next(iter(settings))} is for a checkpoint, which looks at images; "
                "leave it out where files are scored"
            )
        from tinyscope.engine.evaluate import evaluate_files

        result = evaluate_files(truth, detections, rules or "coco")
    else:
        raise SettingsError(
            "evaluate: give either a checkpoint and --data, or --truth and --detections"
        )
    for note in result.stamp.get("notes", ()):
        typer.echo(note, err=True)
    if json_file:
        write_json(result.to_json(), json_file)
    if str(json_file) != "-":
        typer.echo(result.table)
        if remark := remark_on(result.stamp):
            typer.echo(f"\n{remark}")


def remark_on(stamp: Mapping[str, Any]) -> str | None:
    """How the images were looked through, in one line to be quoted with the numbers."""
    if "predict" in stamp:
        settings = dict(stamp["predict"])
        return looked(stamp["scored"], settings, settings.pop("merge"))
    if "merged" in stamp:
        record = stamp["merged"]
        settings = {key: record[key] for key in ("tile", "overlap", "limit") if key in record}
        return looked(stamp["scored"], settings, record["rule"])
    if stamp.get("scored", "").startswith("tiles"):
        return (
            "Tiles were scored as images of their own: what a seam cuts counts in each. For the "
            f"figures of whole images merge first: tinyscope merge {stamp['found']} --tiles "
            f"{stamp['truth']} --out WHOLE.json"
        )
    return None


def looked(scored: str, settings: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    """The settings that are set, sizes as their options are written, and the rule of merging."""
    shown = [
        f"{key} {_written(key, value)}" for key, value in settings.items() if value is not None
    ]
    return f"{scored}: {', '.join(shown)}; merged by {_written('merge', rule)}"


def _written(key: str, value: Any) -> str:
    """Zooms one beside the other, a (height, width) as width x height, a part with its options."""
    if isinstance(value, Mapping):
        options = ", ".join(f"{name} {chosen}" for name, chosen in value.items() if name != "name")
        return f"{value['name']} ({options})"
    if key == "zooms":
        return "+".join(f"{zoom:g}" for zoom in value)
    return f"{value[1]}x{value[0]}" if isinstance(value, list | tuple) else str(value)
