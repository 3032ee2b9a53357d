"""The pixels of an image of a data set: of its file, of a tile of it, with regions painted over."""

from jaxtyping import UInt8
from torch import Tensor

from tinyscope.data.erase import erased, erased_regions
from tinyscope.data.images import ImageCache
from tinyscope.errors import DataError
from tinyscope.formats.tables import Annotations


def pixels(annotations: Annotations, image: int, read: ImageCache) -> UInt8[Tensor, "3 h w"]:
    """What the image at position `image` shows; it may be a view that must not be written to.

    Tiles are views of their file, which is decoded once while the cache keeps it. Of a whole
    image, the cache keeps the copy in which regions are painted over.

    Raises:
        DataError: The file cannot be read, is of another size, or the tile reaches out of it.
    """
    path, regions = annotations.path(image), erased_regions(annotations, image)
    if annotations.windows is None:
        height, width = annotations.sizes[image].tolist()
        return read(path, (height, width), regions)
    tile = tile_of_file(annotations, image, read(path))
    return erased(tile, regions) if regions else tile


def tile_of_file(
    annotations: Annotations, image: int, whole: UInt8[Tensor, "3 h w"]
) -> UInt8[Tensor, "3 y x"]:
    """A view of what the tile at position `image` shows of its file's pixels.

    Raises:
        DataError: The tile reaches out of the file.
    """
    assert annotations.windows is not None
    path, (x1, y1, x2, y2) = annotations.path(image), annotations.windows[image].tolist()
    if x2 > whole.shape[-1] or y2 > whole.shape[-2]:
        raise DataError(
            f"image {path} is {whole.shape[-1]} x {whole.shape[-2]} pixels (upright), but the tile "
            f"with id {annotations.image_ids[image]} has the corner {[x1, y1, x2, y2]}; they "
            "belong to another version of the file"
        )
    return whole[:, y1:y2, x1:x2]
