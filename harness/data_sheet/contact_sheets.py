"""Images of a data set side by side: of one class, and of what augmentation makes of a few."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.font_manager import findfont
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_SMALL, _LARGE = 64, 96
"""Pixels: an image below is enlarged by a whole number, one above made smaller."""
_GAP, _LINE = 6, 16
_GROUND, _INK = "white", "black"


def contact_sheet(title: str, images: NDArray[np.uint8], captions: Sequence[str], columns: int) -> bytes:
    """Images (n, height, width, channels) in rows of so many, each above its caption, as a PNG; the same each time.

    One channel is shown grey, three or four in colour (without the fourth), and of any other number the first.
    """
    tiles = [_tile(image) for image in images]
    width, height = tiles[0].width + _GAP, tiles[0].height + _LINE + _GAP
    rows = -(-len(tiles) // columns)
    font = ImageFont.truetype(findfont("DejaVu Sans"), 11)  # which, unlike Pillow's own, has more than ASCII
    across = max(columns * width + _GAP, int(font.getlength(title)) + 2 * _GAP)
    sheet = Image.new(tiles[0].mode, (across, _LINE + _GAP + rows * height), _GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 2), title, _INK, font)
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left, top = _GAP + number % columns * width, _LINE + _GAP + number // columns * height
        sheet.paste(tile, (left, top))
        draw.text((left, top + tile.height + 1), _end_of(caption, tile.width, font), _INK, font)
    png = BytesIO()
    sheet.save(png, "PNG")
    return png.getvalue()


def _end_of(caption: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """As many of its last characters as go below a tile: names of files begin alike."""
    while font.getlength(caption) > width:
        caption = f"…{caption.removeprefix('…')[1:]}"
    return caption


def _tile(pixels: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3] if pixels.shape[2] in (3, 4) else pixels[..., 0]))
    longest = max(image.size)
    if longest < _SMALL:
        times = -(-_SMALL // longest)
        return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    if longest > _LARGE:
        sides = (max(1, round(side * _LARGE / longest)) for side in image.size)
        width, height = sides
        return image.resize((width, height), Image.Resampling.BOX)
    return image
