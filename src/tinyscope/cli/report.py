"""`tinyscope report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished training.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set; else as the recipe says.")
    ] = None,
) -> None:
    """Show how a training went and what was found and missed: report.html in its folder."""
    from tinyscope.engine.report import report as write

    typer.echo(f"report -> {write(run, data)}")
