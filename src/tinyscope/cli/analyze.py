"""`tinyscope analyze`: why the numbers are what they are.

`analyze data` says what a data set holds, `analyze model` what a model costs, `analyze sizes` how
large objects are, `analyze fusion` how much the levels of a pyramid should take of each other,
`analyze attention` where a model looks, `analyze assignment` which objects no prior answers for.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tinyscope.cli.output import (
    JsonFile,
    Overlap,
    Overrides,
    Scale,
    Tile,
    Tilings,
    Zooms,
    given,
    tile_of,
    write_json,
)
from tinyscope.errors import SettingsError

app = typer.Typer(
    help="Explain a model or a data set.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Precision(StrEnum):
    """Of all maps."""

    full = "32"
    bf16 = "bf16"
    half = "16"


@app.callback()
def _group() -> None:
    pass


@app.command()
def model(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a YAML file.")],
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Width and height of the images, pixels.")
    ] = "640x512",
    overrides: Overrides = None,
    classes: Annotated[
        int | None, typer.Option(min=1, help="Number of classes; else the recipe's, or one.")
    ] = None,
    rois: Annotated[
        int | None,
        typer.Option(
            min=1, help="Proposals per image that a second stage is counted with; 1000 by default."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images whose memory is counted.")] = 1,
    precision: Annotated[
        Precision, typer.Option(help="Of all maps, for the memory.")
    ] = Precision.full,
    suggest: Annotated[
        bool,
        typer.Option("--suggest", help="Look for a bottom-heavy backbone of the same cost."),
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option(help="Of --suggest: G operations of the backbone, published count."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Of --suggest: how far off the budget, as a fraction; 0.01 by default."),
    ] = None,
    object_side: Annotated[
        float | None,
        typer.Option(
            help="Of --suggest: side of typical objects, pixels; stages shall grow of "
            "which it covers two cells or more; else the first two."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for a picture of the operations per stage.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Count parameters, multiply-adds, memory and receptive fields of a recipe's model."""
    from tinyscope.engine.analyze_model import PICTURE, analyze_model

    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
    if not found:
        raise SettingsError(f"--size {size}: must be width x height in pixels, such as 640x512")
    report = analyze_model(
        recipe,
        (int(found[2]), int(found[1])),
        overrides=overrides or (),
        out=out,
        classes=classes,
        rois=rois,
        batch=batch,
        precision=precision.value,
        suggest=suggest,
        budget=None if budget is None else budget * 1e9,
        tolerance=tolerance,
        object_side=object_side,
    )
    if json_file:
        write_json(report.to_json(), json_file)
    if str(json_file) != "-":
        typer.echo(report.table)
        if out:
            typer.echo(f"\npicture -> {out / PICTURE}")


class Example(StrEnum):
    """What counts as an example of a class."""

    objects = "objects"
    tracks = "tracks"


@app.command()
def data(
    data: Annotated[Path, typer.Argument(help="A COCO file, or a data set's folder.")],
    split: Annotated[str, typer.Option(help="Of the folder.")] = "train",
    recipe: Annotated[
        str | None, typer.Option(help="Recipe, or YAML file, that the settings are for.")
    ] = None,
    overrides: Overrides = None,
    edges: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Numbers of examples from which a class belongs to the next group, such as "
            "10,100,1000; else chosen.",
        ),
    ] = None,
    by: Annotated[
        Example, typer.Option(help="What counts as an example; tracks are of videos.")
    ] = Example.objects,
    json_file: JsonFile = None,
) -> None:
    """Show what a data set holds, and propose groups of classes by their frequency."""
    from tinyscope.engine.analyze_data import analyze_data

    report = analyze_data(
        data,
        split,
        recipe=recipe,
        overrides=overrides or (),
        edges=edges_of(edges),
        by=by.value,
    )
    if json_file:
        write_json(report.to_json(), json_file)
    if str(json_file) != "-":
        typer.echo(report.table)


def edges_of(text: str | None) -> list[int] | None:
    """The numbers that `--edges` says.

    Raises:
        SettingsError: They are no whole numbers.
    """
    if text is None:
        return None
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise SettingsError(f"--edges {text}: must be whole numbers, such as 10,100,1000")
    return [int(part) for part in text.split(",")]


class Match(StrEnum):
    """How images are matched."""

    scale = "scale"
    monotone = "monotone"


@app.command()
def sizes(
    data: Annotated[Path, typer.Argument(help="A COCO file, or a data set's folder.")],
    target: Annotated[
        Path | None,
        typer.Option(help="The set whose sizes are wanted, or a JSON file of its histogram."),
    ] = None,
    match: Annotated[
        Match, typer.Option(help="Draw the wanted sizes, or keep the ranks of the present ones.")
    ] = Match.scale,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OPTION=VALUE",
            help="An option of the transform scale_match, such as scale_range=[0.2,2]; may be "
            "given several times.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Of the folder.")] = "train",
    draws: Annotated[int, typer.Option(min=1, help="How often each image is resized.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for a picture, and a histogram to match others to.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Show how large a set's objects are, and how large Scale Match would make them."""
    from tinyscope.engine.analyze_sizes import HISTOGRAM, PICTURE, analyze_sizes
    from tinyscope.recipes import apply

    chosen: dict[str, Any] = {}
    for option in options or ():
        chosen = apply(chosen, option)
    report = analyze_sizes(
        data,
        target,
        match=match.value,
        options=chosen,
        split=split,
        draws=draws,
        seed=seed,
        out=out,
    )
    if json_file:
        write_json(report.to_json(), json_file)
    if str(json_file) != "-":
        typer.echo(report.table)
        if out:
            typer.echo(f"\npicture, histogram -> {out / PICTURE}, {out / HISTOGRAM}")


@app.command()
def fusion(
    recipe: Annotated[str, typer.Argument(help="A recipe with anchors, or a YAML file.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set, where the recipe names none.")
    ] = None,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="YAML file to write: the recipe with the factors in it.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Find how much of a coarse level the pyramid should add to the next finer one (S-alpha)."""
    from tinyscope.engine.analyze_fusion import analyze_fusion

    report = analyze_fusion(recipe, data, overrides=overrides or (), out=out)
    if json_file:
        write_json(report.to_json(), json_file)
    if str(json_file) != "-":
        typer.echo(report.table)
        if out:
            typer.echo(f"\nrecipe -> {out}")


class Split(StrEnum):
    """Of a data set."""

    train = "train"
    val = "val"


class Shown(StrEnum):
    """What objects are seen through."""

    train = "train"
    predict = "predict"


@app.command()
def assignment(
    recipes: Annotated[
        list[str], typer.Argument(help="Names of recipes, or YAML files; compared side by side.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data set. Recipes that name a data set of their own read that one, "
            "unless with --set data.train=null --set data.val=null."
        ),
    ] = None,
    overrides: Overrides = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:KEY=VALUE",
            help="Compare with the first recipe changed like this, such as "
            "'rfla:model.assigner={name: hierarchical}'; several with one name make one variant.",
        ),
    ] = None,
    split: Annotated[Split, typer.Option(help="Of the data set.")] = Split.train,
    view: Annotated[
        Shown,
        typer.Option(
            help="See objects through the windows and transforms of the training, or through tiles "
            "as prediction does."
        ),
    ] = Shown.train,
    windows: Annotated[
        int | None,
        typer.Option(min=1, help="How many windows or tiles; else an epoch, at most 500."),
    ] = None,
    pictures: Annotated[int, typer.Option(min=0, help="Windows that are painted.")] = 4,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures, a chart, and a CSV file of all objects."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Show how many priors would answer for each object, before any training."""
    from tinyscope.engine.analyze_assignment import analyze_assignment

    report = analyze_assignment(
        recipes,
        data,
        overrides=overrides or (),
        variants=variants_of(variant or ()),
        split=split.value,
        view=view.value,
        windows=windows,
        pictures=pictures,
        out=out,
    )
    if json_file:
        write_json(report.to_json(), json_file)
    if str(json_file) != "-":
        typer.echo(report.table)
        if out:
            typer.echo(f"\npictures, chart, objects.csv -> {out}")


def variants_of(options: Sequence[str]) -> dict[str, list[str]]:
    """The overrides of every variant, by its name.

    Raises:
        SettingsError: An option names no variant.
    """
    found: dict[str, list[str]] = {}
    for option in options:
        name, colon, override = option.partition(":")
        if not (name.strip() and colon) or "=" in name:
            raise SettingsError(
                f"--variant {option}: must be NAME:KEY=VALUE, such as "
                "'rfla:model.assigner={name: hierarchical}'"
            )
        found.setdefault(name.strip(), []).append(override.strip())
    return found


@app.command()
def attention(
    checkpoint: Annotated[Path, typer.Argument(help="A run's best.ckpt; its neck is sspnet.")],
    paths: Annotated[
        list[str], typer.Argument(help="Images, folders of images, or patterns such as 'a/*.png'.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for pictures/.")],
    tile: Tile = None,
    overlap: Overlap = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="COCO annotations: tells attention in objects of a level's size, in others, and "
            "outside."
        ),
    ] = None,
    tiling: Tilings = None,
    scale: Scale = None,
    zoom: Zooms = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on past images that cannot be read.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Paint where a model's attention lies on images, level by level."""
    from tinyscope.engine.analyze_attention import analyze_attention

    report = analyze_attention(
        checkpoint,
        paths,
        out,
        tile_of(tile),
        overlap,
        truth,
        keep_going=keep_going,
        **given(tiling=tiling and tiling.value, scale=scale, zooms=tuple(zoom) if zoom else None),
    )
    if json_file:
        write_json(report.to_json(), json_file)
    if str(json_file) != "-":
        typer.echo(report.table)
        typer.echo(f"\npictures -> {out / 'pictures'}")
