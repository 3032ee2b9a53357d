"""`tinyscope synthetic`."""

from pathlib import Path
from typing import Annotated

import typer


def synthetic(
    out: Annotated[Path, typer.Argument(help="Folder to write, new or empty.")],
    train: Annotated[int, typer.Option(min=1, help="Images to train on.")] = 200,
    val: Annotated[int, typer.Option(min=1, help="Images to validate on.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal files.")] = 0,
    size: Annotated[
        tuple[int, int], typer.Option(help="Mean height and width of an image, pixels.")
    ] = (320, 384),
) -> None:
    """Write a procedural data set of tiny objects: PNG images and COCO annotations."""
    from tinyscope.data.synthetic import write_synthetic

    write_synthetic(out, {"train": train, "val": val}, seed, size)
    typer.echo(f"{train} images to train, {val} to validate -> {out}")
