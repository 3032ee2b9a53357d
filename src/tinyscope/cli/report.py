"""`tinyscope report`: one page on a run."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Folder that `tinyscope train` wrote.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set; else as the recipe says.")
    ] = None,
) -> None:
    """Write report.html into a run's folder: curves, scores, sizes, found and missed objects."""
    from tinyscope.engine.report import report as write

    typer.echo(str(write(run, data)))
