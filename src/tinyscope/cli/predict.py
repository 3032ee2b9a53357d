"""`tinyscope predict`."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    checkpoint: Annotated[Path, typer.Argument(help="A run's best.ckpt.")],
    paths: Annotated[
        list[str], typer.Argument(help="Images, folders of images, or patterns such as 'a/*.png'.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for detections and pictures.")],
    tile: Annotated[
        int | None,
        typer.Option(help="Side of the tiles that an image is cut into, pixels; else as trained."),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Of neighbouring tiles, pixels; else the recipe's.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="COCO annotations: paints found green, missed red, false blue."),
    ] = None,
) -> None:
    """Find objects in images; writes COCO JSON, CSV and painted pictures."""
    from tinyscope.engine.predict import predict as run

    run(checkpoint, paths, out, tile=tile, overlap=overlap, truth=truth)
