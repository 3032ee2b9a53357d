"""`tinyscope synthetic`."""

from pathlib import Path
from typing import Annotated

import typer


def synthetic(
    out: Annotated[Path, typer.Argument(help="Folder to write; made if absent.")],
    images: Annotated[int, typer.Option(min=1, help="Images in all, train and val.")] = 120,
    size: Annotated[int, typer.Option(min=32, help="Side of an image, pixels.")] = 320,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal files.")] = 0,
) -> None:
    """Write a procedural data set of tiny objects: PNG images and COCO annotations."""
    from tinyscope.data.synthetic import write_synthetic

    write_synthetic(out, images=images, size=(size, size), seed=seed)
    typer.echo(f"{images} images -> {out}")
