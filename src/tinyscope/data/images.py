"""Image files to (3, h, w) uint8: every mode that cameras, drones and infrared sensors write.

The rules are stated in docs/datasets.md. A gray image is not tripled in memory: its three planes
are one, so that nothing may write into an image in place.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tinyscope.data.erase import Region, erased
from tinyscope.errors import DataError
from tinyscope.formats.headers import PIXEL_LIMIT, image_size, opened, orientation
from tinyscope.types import Size

__all__ = ["BACKDROP", "ImageCache", "SixteenBit", "image_size", "read_image"]

SixteenBit = Literal["stretch", "full"]
"""How more than 8 bits become 8: by the image's own 0.1..99.9 percentiles, or by the full range."""

BACKDROP = (124, 116, 104)
"""RGB that shows through transparent pixels: the mean color, which padding has as well."""

_DEEP = frozenset(("I", "I;16", "I;16B", "I;16L", "I;16N", "F"))
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(
    path: Path,
    *,
    sixteen_bit: SixteenBit = "stretch",
    backdrop: Sequence[int] = BACKDROP,
    pixel_limit: int = PIXEL_LIMIT,
    content: bytes | None = None,
) -> UInt8[Tensor, "3 h w"]:
    """Reads an image file as RGB, upright as its EXIF block says; of several frames the first.

    Args:
        path: A file that Pillow reads.
        sixteen_bit: `stretch` maps the 0.1 and 99.9 percentiles of the image to 0 and 255;
            `full` maps 0..65535 to 0..255. The default is `stretch` since infrared sensors use a
            small part of the range: 14-bit frames that span 400 counts would become 2 gray
            values under `full`, and the targets with them.
        backdrop: RGB under transparent pixels.
        pixel_limit: Larger images are refused.
        content: Bytes of a file that lies in an archive; `path` is then its name in errors.

    Returns:
        The pixels; memory is channels-last, or one shared plane for a gray image.

    Raises:
        DataError: The file is missing, empty, no image, truncated or too large.
    """
    with opened(path, pixel_limit, content) as image:
        image.load()
        turn = _TURNS.get(orientation(image))
        pixels = _pixels(image, path, sixteen_bit, backdrop)
    if turn is not None:
        pixels = np.array(Image.fromarray(pixels).transpose(turn))
    values = torch.from_numpy(pixels)
    return values.expand(3, -1, -1) if values.ndim == 2 else values.permute(2, 0, 1)


Key = tuple[Path, tuple[Region, ...]]


class ImageCache:
    """Reads images and keeps the latest decoded, up to `limit_bytes`; one per worker.

    Training on windows reads the same file many times in short order. An image of more than the
    limit is read each time. Copies made for other processes start out empty.
    """

    def __init__(self, limit_bytes: int = 256 * 2**20, sixteen_bit: SixteenBit = "stretch") -> None:
        self.limit_bytes = limit_bytes
        self.sixteen_bit: SixteenBit = sixteen_bit
        self.bytes = 0
        self._kept: OrderedDict[Key, Tensor] = OrderedDict()

    def __call__(
        self, path: Path, size: Size = (0, 0), regions: tuple[Region, ...] = ()
    ) -> UInt8[Tensor, "3 h w"]:
        """The image, which must have the `size` that its annotations state; 0 0 states none.

        Args:
            path: Of the file.
            size: (height, width).
            regions: Painted over in what is returned and kept, see `erased`.

        Raises:
            DataError: As `read_image`, or the file has another size.
        """
        image = self._kept.get((path, regions))
        if image is None:
            image = read_image(path, sixteen_bit=self.sixteen_bit)
            if regions:
                image = erased(image, regions)
            self._keep((path, regions), image)
        else:
            self._kept.move_to_end((path, regions))
        height, width = image.shape[-2:]
        if tuple(size) != (0, 0) and (height, width) != tuple(size):
            raise DataError(
                f"image {path} is {width} x {height} pixels (upright), but its annotations say "
                f"{size[1]} x {size[0]}; they belong to another version of the file"
            )
        return image

    def __len__(self) -> int:
        """Number of images kept."""
        return len(self._kept)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"bytes": 0, "_kept": OrderedDict()}

    def _keep(self, key: Key, image: Tensor) -> None:
        stored = image.untyped_storage().nbytes()
        if stored > self.limit_bytes:
            return
        self._kept[key] = image
        self.bytes += stored
        while self.bytes > self.limit_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.bytes -= oldest.untyped_storage().nbytes()


def _pixels(
    image: Image.Image, path: Path, sixteen_bit: SixteenBit, backdrop: Sequence[int]
) -> NDArray[np.uint8]:
    """(h, w) or (h, w, 3) of a decoded image, not turned."""
    if image.mode in _DEEP:
        return _to_8_bit(np.asarray(image), path, sixteen_bit)
    if image.has_transparency_data:
        return _opaque(image.convert("RGBA"), backdrop)
    if image.mode in ("1", "L"):
        return np.array(image.convert("L"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _opaque(image: Image.Image, backdrop: Sequence[int]) -> NDArray[np.uint8]:
    rgb = np.array(image.convert("RGB"))
    alpha = np.asarray(image.getchannel("A"))
    if int(alpha.min()) == 255:
        return rgb
    # Integer blend, rounded to nearest; 32 bits because 255 * 255 needs 17 with the rounding.
    weight = alpha[..., None].astype(np.int32)
    below = np.asarray(backdrop, dtype=np.int32)
    return ((rgb * weight + below * (255 - weight) + 127) // 255).astype(np.uint8)


def _to_8_bit(values: NDArray[Any], path: Path, sixteen_bit: SixteenBit) -> NDArray[np.uint8]:
    """More than 8 bits to 8; values that are no number (holes in float rasters) become 0."""
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if sixteen_bit == "full":
        if known.size and not 0 <= known.min() <= known.max() <= 65535:
            raise DataError(
                f"image {path} has values {known.min()}..{known.max()}, beyond the 16 bits that "
                'sixteen_bit="full" maps to 0..255; use "stretch"'
            )
        low, high = 0.0, 65535.0
    else:
        low, high = _ends(known)
    if values.dtype == np.uint16:  # a table: no float copy of a large raster
        table = _scale(np.arange(65536), low, high)
        return np.take(table, values)
    return _scale(values, low, high)


def _scale(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    if high <= low:
        return np.zeros(values.shape, dtype=np.uint8)
    scaled = np.clip((values - low) * (255 / (high - low)), 0, 255)
    return np.rint(np.nan_to_num(scaled, copy=False)).astype(np.uint8)


def _ends(values: NDArray[Any]) -> tuple[float, float]:
    """The 0.1 and 99.9 percentiles, or the extremes where these coincide."""
    if not values.size:
        return 0.0, 0.0
    if values.dtype == np.uint16:  # counting is ten times faster than sorting
        counts = np.cumsum(np.bincount(values.ravel(), minlength=65536))
        low, high = np.searchsorted(counts, [0.001 * values.size, 0.999 * values.size])
    else:
        low, high = np.percentile(values, [0.1, 99.9])
    if high <= low:
        low, high = values.min(), values.max()
    return float(low), float(high)
