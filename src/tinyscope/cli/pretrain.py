"""`tinyscope pretrain`."""

from pathlib import Path
from typing import Annotated

import typer

from tinyscope.cli.output import JsonFile, Overrides, write_json


def pretrain(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Name of a recipe of pretrain/ (see `tinyscope recipes`), or a YAML file."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; made if absent.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder or zip archive of class folders, CIFAR or ImageNet32; else as set."
        ),
    ] = None,
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run in --out stopped.")
    ] = False,
    devices: Annotated[
        int, typer.Option(min=1, help="GPUs of this machine, or processes where it has none.")
    ] = 1,
    json_file: JsonFile = None,
) -> None:
    """Pre-train a backbone on images with one label each."""
    from tinyscope.engine.pretrain import pretrain as start

    run = start(recipe, data, out, resume, overrides or (), devices)
    if json_file:
        result = {"best": str(run.best), "steps": run.steps, "scores": dict(run.scores)}
        write_json(result, json_file)
    if str(json_file) != "-":
        typer.echo(f"{run.steps} steps -> {run.best}")
