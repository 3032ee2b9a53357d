"""`tinyscope convert`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    coco = "coco"
    yolo = "yolo"


def convert(
    source: Annotated[
        Path, typer.Argument(help="Folder or file of a data set in COCO, YOLO or VOC layout.")
    ],
    out: Annotated[Path, typer.Argument(help="What is written: a folder.")],
    to: Annotated[Format, typer.Option(help="Layout of the result.")] = Format.coco,
    split: Annotated[str, typer.Option(help="Split of the source.")] = "train",
) -> None:
    """Write the annotations of a data set in another format."""
    from tinyscope.engine.convert import convert as run

    run(source, out, to=to.value, split=split)
