"""`tinyscope synthetic`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Kind(StrEnum):
    """What is painted, and in which layout it is written."""

    mixed = "mixed"
    tinyperson = "tinyperson"
    video = "video"


def synthetic(
    out: Annotated[Path, typer.Argument(help="Folder to write, new or empty.")],
    train: Annotated[
        int | None,
        typer.Option(min=1, help="Images to train on: 200; 40 of tinyperson; 48 videos."),
    ] = None,
    val: Annotated[
        int | None,
        typer.Option(min=1, help="Images to validate on: 50; 20 of tinyperson; 16 videos."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal files.")] = 0,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Mean height and width of an image, pixels: 320 384; 2000 3000 of tinyperson; "
            "192 256 of video, whose frames are all alike."
        ),
    ] = None,
    kind: Annotated[
        Kind,
        typer.Option(
            help="Boats, cars, people, tanks and planes as COCO; or persons in large images, with "
            "the flags and files of TinyPerson; or videos of twelve classes as CocoVID."
        ),
    ] = Kind.mixed,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Frames of a video: 32; for --kind video alone.")
    ] = None,
) -> None:
    """Write a procedural data set of tiny objects: images or videos, and annotations."""
    from tinyscope.data.synthetic import write_synthetic, write_tinyperson, write_videos
    from tinyscope.errors import SettingsError

    if frames is not None and kind is not Kind.video:
        raise SettingsError(f"--frames {frames} is for videos; add --kind video or leave it out")
    if kind is Kind.video:
        counts = {"train": train or 48, "val": val or 16}
        write_videos(out, counts, seed, size or (192, 256), frames or 32)
    elif kind is Kind.tinyperson:
        counts = {"train": train or 40, "test": val or 20}
        write_tinyperson(out, counts, seed, size or (2000, 3000))
    else:
        counts = {"train": train or 200, "val": val or 50}
        write_synthetic(out, counts, seed, size or (320, 384))
    first, second = counts.values()
    things = "videos" if kind is Kind.video else "images"
    typer.echo(f"{first} {things} to train, {second} to validate -> {out}")
