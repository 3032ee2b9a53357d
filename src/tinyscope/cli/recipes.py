"""`tinyscope recipes`: which there are, and what one says."""

from pathlib import Path
from typing import Annotated

import typer

from tinyscope.cli.output import JsonFile, Overrides, write_json


def recipes(
    recipe: Annotated[
        str | None,
        typer.Argument(help="Show this one with every default filled in: a name or a YAML file."),
    ] = None,
    overrides: Overrides = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of a recipe, for editors.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """List the recipes with their source and what they should reach, or show one."""
    if schema:
        from tinyscope.cli.schema import recipe_schema

        write_json(recipe_schema(), json_file or Path("-"))
    elif recipe is None:
        _list(json_file)
    else:
        from tinyscope.pretraining import load_any

        loaded = load_any(recipe, overrides or ())
        if json_file:
            write_json(loaded.model_dump(mode="json"), json_file)
        else:
            typer.echo(loaded.to_yaml(), nl=False)


def _list(json_file: Path | None) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    from tinyscope.recipes import listing

    if json_file:
        entries = {r.name: {"source": r.source, "expected": r.expected} for r in listing()}
        write_json(entries, json_file)
        return
    columns = (Column("recipe", no_wrap=True), "expected", "source")
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    for entry in listing():
        expected = ", ".join(f"{metric} {value:g}" for metric, value in entry.expected.items())
        table.add_row(entry.name, expected or "-", entry.source)
    Console().print(table)
