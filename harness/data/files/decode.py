"""An image file → pixels of the size and channels asked for. Without TensorFlow, so that many processes can do it."""

import io
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from harness.data import picture_formats
from harness.data.files.records import image_in

if TYPE_CHECKING:  # the config takes longer to import than all else that a process needs to decode
    from harness.config.data import Resize

_FORMATS = tuple(picture_formats.DATA)

_ORIENTATION, _ON_ITS_SIDE = 0x0112, 5
"""The EXIF tag, and from which of its values on the picture lies on its side."""

Reference = str | tuple[str, int, int, str]
"""Where an image lies: a file's path, or a TFRecord file, offset and length of a record in it, and its feature."""


@dataclass(frozen=True)
class Decoding:
    """How a file becomes pixels."""

    size: tuple[int, int] | None
    """Height and width; None for those of the file."""
    resize: "Resize"
    channels: int | None
    """1, 3 or 4; None for those of the file."""
    scale: tuple[float, float] | None = None
    """The values of a 16-bit file that become 0 and 255."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Unreadable(Exception):
    """An image that can't be decoded, and why, in a few words."""


class Undeclared(Unreadable):
    """One of 16 bits, of which no `data.scale` says what is black and white."""


def shape_of(reference: Reference) -> tuple[int, int, int]:
    """Height, width and channels of an image, by its header alone. Raises Unreadable."""
    try:
        with _opened(reference) as image:
            width, height = image.size
            if image.getexif().get(_ORIENTATION, 1) >= _ON_ITS_SIDE:
                width, height = height, width
            return height, width, 1 if _is_grey(image) else 3
    except Exception as error:  # noqa: BLE001  Pillow's readers stumble over a damaged file in a dozen ways
        raise Unreadable(_reason(error)) from None


def decode(reference: Reference, decoding: Decoding) -> NDArray[np.uint8]:
    """The image as `pixels_of` makes it. Raises Unreadable, where it can't be opened too."""
    try:
        with _opened(reference) as image:
            return pixels_of(image, decoding)
    except Unreadable:
        raise
    except Exception as error:  # noqa: BLE001  as above
        raise Unreadable(_reason(error)) from None


def pixels_of(image: Any, decoding: Decoding) -> NDArray[np.uint8]:
    """An opened image as (height, width, channels) uint8, turned as its EXIF data say; of a GIF the first frame.

    Transparency becomes white, unless it is the fourth of four channels. Where the size is another one, Pillow's
    bilinear filter, which averages all pixels that one of the result covers, makes it so; a JPEG of at least twice the
    size is first reduced by the decoder itself, by 2, 4 or 8, which is several times as fast. An image of the right
    size keeps its pixels. Raises Unreadable, and whatever Pillow does over a damaged file.
    """
    _check_depth(image, decoding.scale)
    orientation = image.getexif().get(_ORIENTATION, 1)
    if decoding.size is not None and image.format in ("JPEG", "MPO"):
        height, width = decoding.size if orientation < _ON_ITS_SIDE else decoding.size[::-1]
        if image.height >= 2 * height and image.width >= 2 * width:
            image.draft(None, (width, height))
    turned = _of_8_bits(image if orientation == 1 else ImageOps.exif_transpose(image), decoding.scale)
    channels = decoding.channels or (1 if _is_grey(turned) else 3)
    picture = turned.convert("RGBA") if channels == 4 else _with_channels(turned, channels)
    if decoding.size is not None:
        picture = _resized(picture, decoding.size, decoding.resize)
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(picture.height, picture.width, channels)


def _opened(reference: Reference) -> Image.Image:
    file = reference if isinstance(reference, str) else io.BytesIO(image_in(*reference))
    return Image.open(file, formats=_FORMATS)


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")


def _check_depth(image: Any, scale: tuple[float, float] | None) -> None:
    """Pillow clips grey images of 16 bits to 255 and keeps the upper half of coloured ones; neither was asked for."""
    if _is_deep(image):
        if scale is None:
            raise Undeclared("has 16 bits a channel: declare its range, such as data.scale: [0, 65535]")
    elif scale != (0, 65535) and any("16B" in str(tile[3]) for tile in image.tile):
        raise Undeclared("has 16 bits a channel in colour: declare that with data.scale: [0, 65535]")


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or image.mode == "I"


def _of_8_bits(image: Image.Image, scale: tuple[float, float] | None) -> Image.Image:
    if not _is_deep(image) or scale is None:
        return image
    low, high = scale
    values = (np.asarray(image, np.float64) - low) * (255 / (high - low))
    if values.min() < 0 or values.max() > 255:
        raise Unreadable(f"has values outside data.scale, {low:g} to {high:g}")
    return Image.fromarray(np.rint(values).astype(np.uint8))


def _with_channels(image: Image.Image, channels: int) -> Image.Image:
    mode = "L" if channels == 1 else "RGB"
    if image.has_transparency_data:
        whole = image.convert("RGBA")
        ground = Image.new("RGBA", whole.size, "white")
        ground.alpha_composite(whole)
        image = ground
    return image if image.mode == mode else image.convert(mode)


def _resized(image: Image.Image, size: tuple[int, int], how: str) -> Image.Image:
    height, width = size
    if image.size == (width, height):
        return image
    across, down = width / image.width, height / image.height
    if how == "stretch":
        return image.resize((width, height), Image.Resampling.BILINEAR)
    if how == "pad":
        scale = min(across, down)
        inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        whole = Image.new(image.mode, (width, height))
        small = image if inner == image.size else image.resize(inner, Image.Resampling.BILINEAR)
        whole.paste(small, ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return whole
    scale = max(across, down)
    if scale == 1:
        at_left, at_top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((at_left, at_top, at_left + width, at_top + height))
    kept_width, kept_height = min(width / scale, image.width), min(height / scale, image.height)
    left, top = (image.width - kept_width) / 2, (image.height - kept_height) / 2
    box = (left, top, left + kept_width, top + kept_height)
    return image.resize((width, height), Image.Resampling.BILINEAR, box)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"is none of {', '.join(_FORMATS)}, or damaged"
    if isinstance(error, Image.DecompressionBombError):
        count, limit = (f"{int(number):,}" for number in re.findall(r"\d+", str(error))[:2])
        return f"has {count} pixels, and at most {limit} are unpacked"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__
