"""A user's own picture files → pixels that the model takes, as its training images were made from files."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from harness.config.data import Resize
from harness.data import picture_formats
from harness.data.files.decode import Decoding, Undeclared, Unreadable, pixels_of
from harness.errors import DataError

CHANNELS = frozenset({1, 3, 4})
"""How many the images of a model may have that is to see a picture: grey, RGB, RGBA."""
_MOST_PIXELS = 50_000_000
_FORMATS = tuple(picture_formats.OWN)


def read(
    paths: Sequence[Path],
    shape: tuple[int, int, int],
    invert: bool = False,
    resize: Resize = "crop",
    scale: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """The pictures as (n, height, width, channels) uint8, brought to `shape` as `decode.pixels_of` does it.

    Args:
        paths: PNG, JPEG, GIF, BMP, TIFF, WebP, PPM or AVIF files.
        shape: height, width and channels of the model's images; grey for one channel, RGB for three, RGBA for four.
        invert: whether dark and bright change places.
        resize: how, as `data.resize` has it.
        scale: the values of 16 bits that become 0 and 255, as `data.scale` has it; None where none are declared.

    Raises:
        DataError: a file is not a picture, is damaged, has more than 50 million pixels, or 16 bits without a `scale`;
            or the model takes images of another number of channels.
    """
    pictures = [_read(path, shape, invert, resize, scale) for path in paths]
    return np.stack(pictures) if pictures else np.zeros((0, *shape), np.uint8)


def check(paths: Sequence[Path], scale: tuple[float, float] | None = None) -> None:
    """Raise DataError, as `read` does, where one of the files can't be read, whatever the model takes."""
    read(paths, (1, 1, 3), scale=scale)


def changes(path: Path, shape: tuple[int, int, int], resize: Resize = "crop") -> list[str]:
    """What `read` did to a picture so that it has `shape`, in a few words each."""
    height, width, channels = shape
    with Image.open(path, formats=_FORMATS) as file:
        turned = ImageOps.exif_transpose(file)
        has_other_sides = turned.width * height != turned.height * width
        how = {"crop": ["cropped to its middle"], "pad": ["padded with black"], "stretch": []}[resize]
        resized = [f"resized from {turned.width}×{turned.height} to {width}×{height}"]
        greyed = ["made grey"] if channels == 1 and _is_coloured(file) else []
    return [*(how if has_other_sides else []), *(resized if turned.size != (width, height) else []), *greyed]


def _is_coloured(file: Image.Image) -> bool:
    red, green, blue = (np.asarray(band) for band in file.convert("RGB").split())
    return not (np.array_equal(red, green) and np.array_equal(green, blue))


def _read(
    path: Path, shape: tuple[int, int, int], invert: bool, resize: Resize, scale: tuple[float, float] | None
) -> NDArray[np.uint8]:
    height, width, channels = shape
    if channels not in CHANNELS:
        raise DataError(
            f"{path}: the model takes images of {channels} channels, and a picture has 1, 3 or 4: give them with --data"
        )
    decoding = Decoding((height, width), resize, channels, scale)
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(path, formats=_FORMATS) as file,
        ):
            if file.width * file.height > _MOST_PIXELS:  # told by its header, before anything is unpacked
                raise Image.DecompressionBombError
            pixels = np.array(pixels_of(file, decoding))
    except Image.DecompressionBombError:
        raise DataError(f"{path} has too many pixels to unpack: {_MOST_PIXELS:,} at most") from None
    except UnidentifiedImageError:
        raise DataError(f"{path} is not a picture that can be read: give one of {', '.join(_FORMATS)}") from None
    except Undeclared:
        raise DataError(
            f"{path} has 16 bits a channel, and no data.scale says which of its values are black and "
            "white: save it with 8 bits"
        ) from None
    except Unreadable as error:
        raise DataError(f"{path} {error}") from None
    except OSError as error:
        reason = error.strerror or "is not a picture that can be read, or is damaged"
        raise DataError(f"{path}: {reason}") from None
    except Exception:  # noqa: BLE001  Pillow's readers stumble over a damaged file in a dozen ways
        raise DataError(f"{path} is not a picture that can be read, or is damaged") from None
    if invert:
        pixels[..., :3] = 255 - pixels[..., :3]
    return pixels
