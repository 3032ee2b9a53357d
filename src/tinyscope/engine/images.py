"""Image files by name, folder or pattern, read one ahead of the one that is worked on."""

import glob
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import track
from torch import Tensor

from tinyscope.data.images import read_image
from tinyscope.errors import DataError
from tinyscope.formats.files import IMAGE_SUFFIXES


def find_images(
    paths: Sequence[str | Path], suffixes: Collection[str] = IMAGE_SUFFIXES
) -> list[Path]:
    """Files that the paths stand for, each once, in the order given; folders and patterns sorted.

    Args:
        paths: Files, folders (with all folders below), or patterns such as "a/*.png".
        suffixes: Of the files that are taken from folders.

    Raises:
        DataError: A path does not exist, or a folder or pattern holds no image.
    """
    found = dict.fromkeys(chain.from_iterable(_find(Path(path), suffixes) for path in paths))
    if not found:
        raise DataError("no images were given; name files, folders or patterns such as 'a/*.png'")
    return list(found)


def _find(path: Path, suffixes: Collection[str]) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        # A folder may be called clip.mp4 after the video that its images are from.
        found = (p for p in path.rglob("*") if p.suffix.lower() in suffixes)
        below = sorted(p for p in found if not p.is_dir())
        if not below:
            shown = " ".join(sorted(suffixes))
            raise DataError(f"folder {path}: holds no images ({shown}); check the path")
        return below
    if not glob.has_magic(str(path)):
        raise DataError(f"{path}: no such file or folder; check the path")
    matching = sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if p.is_file())
    if not matching:
        raise DataError(f"pattern {path}: matches no files; check it, and quote it in a shell")
    return matching


def read_ahead(
    paths: Iterable[Path], read: Callable[[Path], Tensor] = read_image
) -> Iterator[tuple[Path, Tensor | DataError]]:
    """Each path with its image, or with the error that reading it raised.

    While the caller works on one image, a thread decodes the next; more are never in memory.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        waiting: tuple[Path, Future[Tensor]] | None = None
        for path in paths:
            following = (path, pool.submit(read, path))
            if waiting:
                yield _outcome(*waiting)
            waiting = following
        if waiting:
            yield _outcome(*waiting)


def each_image(
    files: Sequence[Path],
    doing: str,
    *,
    check: Callable[[int, Path, Tensor], None] | None = None,
    failed: list[str] | None = None,
) -> Iterator[tuple[int, Path, Tensor]]:
    """Number, path and pixels of every image; a terminal shows how far the work is.

    Args:
        files: In the order of their numbers, from 0.
        doing: What is done with them, in a word.
        check: Refuses an image that is not what it should be.
        failed: Gets the messages of images that cannot be read, which are left out.

    Raises:
        DataError: An image cannot be read and `failed` is None, or `check` refuses it.
    """
    console = Console(stderr=True)
    images = read_ahead(files, read_image)
    shown = track(images, doing, len(files), console=console, disable=not console.is_terminal)
    for number, (path, image) in enumerate(shown):
        if isinstance(image, DataError):
            if failed is None:
                raise image
            failed.append(str(image))
            continue
        if check is not None:
            check(number, path, image)
        yield number, path, image


def check_size(path: Path, image: Tensor, stated: Sequence[int]) -> None:
    """That an image is of the size (height, width) that its annotations state; 0 0 states none.

    Raises:
        DataError: It is not.
    """
    height, width = (int(side) for side in stated)
    if (height, width) not in ((0, 0), tuple(image.shape[-2:])):
        raise DataError(
            f"image {path} is {image.shape[-1]} x {image.shape[-2]} pixels (upright), but its "
            f"annotations say {width} x {height}; they belong to another version of the file"
        )


def _outcome(path: Path, image: "Future[Tensor]") -> tuple[Path, Tensor | DataError]:
    try:
        return path, image.result()
    except DataError as error:
        return path, error
