"""Opening image files: what can be known without decoding them, and errors that name the file."""

import io
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tinyscope.errors import DataError
from tinyscope.types import Size

PIXEL_LIMIT = 2_000_000_000
"""Images of more pixels are refused: 2 gigapixels are 6 GB of memory once decoded."""

_ORIENTATION = 0x0112
_PNG_TEXT = frozenset((b"eXIf", b"iTXt", b"zTXt", b"tEXt"))
_pillow_limit = threading.Lock()


@contextmanager
def opened(
    path: Path, pixel_limit: int = PIXEL_LIMIT, content: bytes | None = None
) -> Iterator[Image.Image]:
    """Opens an image without decoding it; all that goes wrong inside becomes a DataError.

    Args:
        path: The file.
        pixel_limit: Larger images are refused.
        content: Bytes of a file that lies in an archive; `path` is then its name in errors.

    Raises:
        DataError: The file is missing, empty, no image, damaged, or of more than `pixel_limit`
            pixels.
    """
    try:
        with _open(path if content is None else io.BytesIO(content)) as image:
            if image.width * image.height > pixel_limit:
                raise DataError(
                    f"image {path} has {image.width} x {image.height} pixels, more than the limit "
                    f"of {pixel_limit}; cut it into smaller files, or raise pixel_limit if the "
                    "memory is there"
                )
            yield image
    except (DataError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise DataError(
            f"image {path}: no such file; check the file names in the annotations and the folder "
            "they are relative to"
        ) from error
    except PermissionError as error:
        raise DataError(f"image {path} may not be read; change its permissions") from error
    except IsADirectoryError as error:
        raise DataError(f"image {path} is a folder; name a file in it") from error
    except UnidentifiedImageError as error:
        if not (path.stat().st_size if content is None else len(content)):
            raise DataError(
                f"image {path} is empty (0 bytes); copy or download it again"
            ) from error
        raise DataError(
            f"image {path} is not in a format that Pillow reads; save it as PNG, JPEG, TIFF or WebP"
        ) from error
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise DataError(
            f"image {path} is truncated or damaged ({error}); copy or download it again, or take "
            "it out of the data set"
        ) from error


def image_size(path: Path) -> Size:
    """(height, width) as `read_image` will give it, from the header alone, EXIF turn included.

    Raises:
        DataError: The file is missing, empty, no image, or its header is damaged.
    """
    with opened(path) as image:
        # Pillow gives the turned size of a TIFF when it opens it, and turns it when it decodes.
        turned = image.format != "TIFF" and _early_orientation(image, path) >= 5
        return (image.width, image.height) if turned else (image.height, image.width)


def orientation(image: Image.Image) -> int:
    """The EXIF (or XMP) orientation, 1..8; 1 also where that block is damaged, as viewers do."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the picture may be whole although its EXIF block is not
        return 1


def _open(path: Path | io.BytesIO) -> Image.Image:
    # Pillow's own limit is one number per process and warns at 90 megapixels, which rasters
    # exceed as a rule; the check of `opened` stands in for it.
    with _pillow_limit:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _early_orientation(image: Image.Image, path: Path) -> int:
    # Pillow decodes a PNG to look for an orientation behind the pixels; walking the chunks
    # tells for almost all files that there is none.
    if image.format == "PNG" and "exif" not in image.info and not _png_text_after_pixels(path):
        try:
            return int(Image.Image.getexif(image).get(_ORIENTATION, 1))
        except Exception:
            return 1
    return orientation(image)


def _png_text_after_pixels(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(8)
        pixels = False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            pixels |= kind == b"IDAT"
            if kind == b"IEND":
                return False
            if pixels and kind in _PNG_TEXT:
                return True
            file.seek(length + 4, 1)
    return False
