import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data.own_images import changes, check, read
from harness.errors import DataError

GREY, COLOUR = (28, 28, 1), (10, 20, 3)


def saved(path: Path, array: np.ndarray, mode: str | None = None, **options: Any) -> Path:
    Image.fromarray(array, mode).save(path, **options)
    return path


def test_a_picture_is_resized_to_what_the_model_takes(tmp_path: Path) -> None:
    path = saved(tmp_path / "grey.png", np.full((100, 60), 40, np.uint8))
    pixels = read([path], GREY)
    assert pixels.shape == (1, *GREY)
    assert (pixels == 40).all()
    assert (read([path], GREY, invert=True) == 215).all()
    assert read([path, path], COLOUR).shape == (2, *COLOUR)


def test_the_middle_of_a_picture_with_other_sides_is_taken(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 15:45] = 200  # the filter looks some pixels beyond
    assert (read([saved(tmp_path / "wide.png", wide)], (10, 10, 3)) == 200).all()
    assert (read([saved(tmp_path / "high.png", wide.swapaxes(0, 1))], (10, 10, 3)) == 200).all()
    assert (read([tmp_path / "wide.png"], (5, 15, 3))[0, :, (0, -1)] == 0).all(), "with its own sides it is whole"


def test_colour_becomes_grey_by_luminance_where_the_model_is_grey(tmp_path: Path) -> None:
    path = saved(tmp_path / "red.png", np.full((8, 8, 3), (255, 0, 0), np.uint8))
    assert np.unique(read([path], GREY)).tolist() == [76]  # 0.299 of 255
    assert read([path], COLOUR)[0, 0, 0].tolist() == [255, 0, 0]


def test_transparency_becomes_white(tmp_path: Path) -> None:
    drawing = np.zeros((8, 8, 4), np.uint8)
    drawing[:, 4:, 3] = 255
    pixels = read([saved(tmp_path / "drawing.png", drawing)], (8, 8, 1))[0, :, :, 0]
    assert (pixels[:, :4] == 255).all()
    assert (pixels[:, 4:] == 0).all()


def test_sixteen_bits_are_scaled_as_declared_and_never_silently(tmp_path: Path) -> None:
    path = saved(tmp_path / "deep.png", np.full((8, 8), 30000, np.uint16))
    assert np.unique(read([path], GREY, scale=(0, 65535))).tolist() == [117]
    check([path], (0, 65535))
    for refuse in (lambda: read([path], GREY), lambda: check([path])):
        with pytest.raises(DataError, match=r"deep\.png has 16 bits.*data\.scale .*8 bits"):
            refuse()
    with pytest.raises(DataError, match=r"deep\.png has values outside data\.scale, 0 to 4095"):
        read([path], GREY, scale=(0, 4095))


def test_a_photograph_is_turned_the_way_it_was_taken(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = read([saved(tmp_path / "turned.png", pixels, exif=exif)], (8, 8, 1))[0, :, :, 0]
    assert turned[0, 0] == 0
    assert turned[-1, 0] == 255


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 100,000 by 100,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def image_bytes(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a picture"),
        (b"hello, I am no picture", "is not a picture"),
        (image_bytes("PNG")[:2000], "damaged"),
        (image_bytes("AVIF").replace(b"iloc", b"gone"), "damaged"),
        (image_bytes("EPS"), "is not a picture.*: give .*PNG, JPEG,"),
        (bomb(), "too many pixels.*50,000,000 at most"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "my.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        read([path], GREY)
    assert "my.png" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Is a directory"):
        read([tmp_path], GREY)


def test_a_model_of_four_channels_gets_the_transparency_as_the_last(tmp_path: Path) -> None:
    drawing = np.full((8, 8, 4), 30, np.uint8)
    path = saved(tmp_path / "drawing.png", drawing)
    assert (read([path], (8, 8, 4)) == 30).all()
    inverted = read([path], (8, 8, 4), invert=True)
    assert (inverted[..., :3] == 225).all()
    assert (inverted[..., 3] == 30).all()


def test_a_picture_has_no_thirteen_channels(tmp_path: Path) -> None:
    path = saved(tmp_path / "red.png", np.full((8, 8, 3), 9, np.uint8))
    with pytest.raises(DataError, match=r"13 channels.* 1, 3 or 4"):
        read([path], (8, 8, 13))


def test_says_what_became_of_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "mine.png"
    Image.new("RGB", (300, 200), "red").save(path)
    assert changes(path, GREY) == ["cropped to its middle", f"resized from 300×200 to {GREY[1]}×{GREY[0]}", "made grey"]
    assert changes(path, (10, 15, 3)) == ["resized from 300×200 to 15×10"]
    Image.new("RGB", (GREY[1], GREY[0]), "white").save(path)
    assert changes(path, GREY) == []
