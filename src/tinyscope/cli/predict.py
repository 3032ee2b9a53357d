"""`tinyscope predict`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

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


def predict(
    checkpoint: Annotated[Path, typer.Argument(help="A run's best.ckpt.")],
    paths: Annotated[
        list[str],
        typer.Argument(help="Images, videos, folders of them, or patterns such as 'a/*.png'."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for detections and pictures.")],
    tile: Tile = None,
    overlap: Overlap = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="COCO annotations: paints found green, missed red, false blue."),
    ] = None,
    tiling: Tilings = None,
    merge: Merge = None,
    limit: Limit = None,
    scale: Scale = None,
    zoom: Zooms = None,
    views: Views = None,
    voting: Voting = None,
    score_threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Least score of what is written; else the recipe's."),
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option("--pictures/--no-pictures", help="Whether pictures and videos are painted."),
    ] = True,
    show: Annotated[
        float, typer.Option(min=0, max=1, help="Least score of what pictures show.")
    ] = 0.3,
    enlarge: Annotated[
        int | None,
        typer.Option(min=1, help="Pictures are enlarged by this; else by the objects' sizes."),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on past images and frames that cannot be read.")
    ] = False,
    frames: Annotated[
        bool | None,
        typer.Option(
            "--frames/--no-frames",
            help="Take the images of a folder as the frames of one video; else if the detector "
            "looks at several frames.",
        ),
    ] = None,
    rate: Annotated[
        float,
        typer.Option(min=0.01, help="Frames per second of videos painted of a folder's images."),
    ] = 10.0,
    frame_window: FrameWindow = None,
    json_file: JsonFile = None,
) -> None:
    """Find objects in images and videos; writes COCO JSON, CSV, painted pictures and videos."""
    from tinyscope.engine.predict import predict as run

    settings = given(
        tiling=tiling and tiling.value,
        merge=merge and part_of(merge, "--merge"),
        limit=limit,
        scale=scale,
        zooms=tuple(zoom) if zoom else None,
        views=views,
        voting=voting and voting.value,
        score_threshold=score_threshold,
        frames=frame_window and part_of(frame_window, "--frame-window"),
    )
    done = run(
        checkpoint,
        paths,
        out,
        tile_of(tile),
        overlap,
        truth,
        pictures=pictures,
        show=show,
        enlarge=enlarge,
        keep_going=keep_going,
        as_video=frames,
        rate=rate,
        **settings,
    )
    if json_file:
        write_json({**asdict(done), "folder": str(done.folder)}, json_file)
    if str(json_file) != "-":
        typer.echo(str(done))
