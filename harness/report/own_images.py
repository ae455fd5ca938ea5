"""A user's own picture files → pixels that the model takes."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from harness.errors import DataError

_MOST_PIXELS = 50_000_000
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF")
"""Without EPS, above all, for which Pillow starts Ghostscript. AVIF last, at which a Pillow before 11.3 gives up."""


def read(paths: Sequence[Path], shape: tuple[int, int, int], invert: bool = False) -> NDArray[np.uint8]:
    """The pictures as (n, height, width, channels) uint8, resized to `shape`; transparency becomes white.

    Args:
        paths: PNG, JPEG, GIF, BMP, TIFF, WebP, PPM or AVIF files.
        shape: height, width and channels of the model's images; grey for one channel.
        invert: whether dark and bright change places.

    Raises:
        DataError: a file is no picture, is damaged, or has more than 50 million pixels.
    """
    pictures = [_read(path, shape, invert) for path in paths]
    return np.stack(pictures) if pictures else np.zeros((0, *shape), np.uint8)


def _read(path: Path, shape: tuple[int, int, int], invert: bool) -> NDArray[np.uint8]:
    height, width, channels = shape
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(path, formats=_FORMATS) as file,
        ):
            if file.width * file.height > _MOST_PIXELS:  # told by its header, before anything is unpacked
                raise Image.DecompressionBombError
            picture: Image.Image = file
            if file.mode.startswith("I;16"):  # which Pillow clips to 255 and doesn't scale
                picture = Image.fromarray((np.asarray(file) >> 8).astype(np.uint8))
            whole = ImageOps.exif_transpose(picture).convert("RGBA")
    except Image.DecompressionBombError:
        raise DataError(f"{path} has too many pixels to unpack: {_MOST_PIXELS:,} at most") from None
    except UnidentifiedImageError:
        raise DataError(f"{path} is no picture that can be read: give one of {', '.join(_FORMATS)}") from None
    except OSError as error:
        reason = error.strerror or "is no picture that can be read, or a damaged one"
        raise DataError(f"{path}: {reason}") from None
    except Exception:  # noqa: BLE001  Pillow's readers stumble over a damaged file in a dozen ways
        raise DataError(f"{path} is no picture that can be read, or a damaged one") from None
    ground = Image.new("RGBA", whole.size, "white")
    ground.alpha_composite(whole)
    small = ground.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(small, np.uint8).reshape(height, width, channels)
    return 255 - pixels if invert else pixels
