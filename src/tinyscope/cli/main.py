"""`tinyscope`: the commands together, and how their errors look."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from tinyscope.cli.analyze import app as analyze
from tinyscope.cli.convert import convert
from tinyscope.cli.evaluate import evaluate
from tinyscope.cli.import_checkpoint import import_checkpoint
from tinyscope.cli.merge import merge
from tinyscope.cli.predict import predict
from tinyscope.cli.pretrain import pretrain
from tinyscope.cli.recipes import recipes
from tinyscope.cli.report import report
from tinyscope.cli.synthetic import synthetic
from tinyscope.cli.train import train
from tinyscope.errors import TinyscopeError

app = typer.Typer(
    name="tinyscope",
    help="Finds objects of 2 to 32 pixels in photos, rasters and video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a bug of ours shows its plain traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    train,
    pretrain,
    evaluate,
    predict,
    merge,
    report,
    convert,
    import_checkpoint,
    recipes,
    synthetic,
):
    app.command()(_command)
app.add_typer(analyze, name="analyze")


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"tinyscope {version('tinyscope')}")
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; an error that the user can mend is one line and exit code 2."""
    try:
        app(args=None if arguments is None else list(arguments))
    except TinyscopeError as error:
        console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        console.print(f"error: {error}", style="red")
        sys.exit(2)
