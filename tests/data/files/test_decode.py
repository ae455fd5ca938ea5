"""One file → pixels."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.files.decode import Decoding, Unreadable, decode, shape_of
from tests.data.files.conftest import picture, save

AS_IT_IS = Decoding(None, "crop", None)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "gif"])
def test_lossless_files_keep_their_pixels(suffix: str, tmp_path: Path) -> None:
    pixels = picture(1, 6, 9, channels=3) // 64 * 64  # few colours, which a GIF keeps too
    file = save(tmp_path / f"a.{suffix}", pixels, **({"lossless": True} if suffix == "webp" else {}))
    assert np.array_equal(decode(str(file), AS_IT_IS), pixels)
    assert shape_of(str(file)) == (6, 9, 3)


def test_a_jpeg_of_the_right_size_is_what_pillow_makes_of_it(tmp_path: Path) -> None:
    file = save(tmp_path / "a.jpg", picture(2, 16, 16))
    with Image.open(file) as image:
        assert np.array_equal(decode(str(file), Decoding((16, 16), "crop", 3)), np.asarray(image))


def test_too_many_pixels_are_told_with_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.new("1", (20_000, 10_000)).save(file)
    with pytest.raises(Unreadable, match=r"200,000,000 pixels.*at most 178,956,970"):
        decode(str(file), AS_IT_IS)


def test_of_a_gif_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (decode(str(tmp_path / "a.gif"), AS_IT_IS) == [255, 0, 0]).all()


def test_grey_and_colour_are_made_of_each_other_where_asked_for(tmp_path: Path) -> None:
    grey = save(tmp_path / "grey.png", picture(3, channels=1))
    assert decode(str(grey), AS_IT_IS).shape == (8, 8, 1)
    assert shape_of(str(grey)) == (8, 8, 1)
    in_colour = decode(str(grey), Decoding(None, "crop", 3))
    assert np.array_equal(in_colour, np.repeat(picture(3, channels=1), 3, axis=2))
    red = save(tmp_path / "red.png", np.full((2, 2, 3), [255, 0, 0], np.uint8))
    assert (decode(str(red), Decoding(None, "crop", 1)) == 76).all()  # 0.299 of 255


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = [10, 20, 30, 255]
    assert decode(str(save(tmp_path / "a.png", pixels)), AS_IT_IS)[:, 0].tolist() == [[10, 20, 30], [255, 255, 255]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [None, (16, 32)], ids=["as it is", "reduced by the decoder"])
def test_is_turned_as_its_exif_data_say(orientation: int, size: tuple[int, int] | None, tmp_path: Path) -> None:
    upright = np.zeros((64, 128, 3), np.uint8)
    upright[:32, :64] = 255  # bright at the top left
    stored = Image.fromarray(upright)
    if orientation > 1:  # what a camera held another way would have stored
        stored = stored.transpose(
            {
                2: Image.Transpose.FLIP_LEFT_RIGHT,
                3: Image.Transpose.ROTATE_180,
                4: Image.Transpose.FLIP_TOP_BOTTOM,
                5: Image.Transpose.TRANSPOSE,
                6: Image.Transpose.ROTATE_90,
                7: Image.Transpose.TRANSVERSE,
                8: Image.Transpose.ROTATE_270,
            }[orientation]
        )
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    pixels = decode(str(tmp_path / "a.jpg"), Decoding(size, "crop", None)).astype(int)
    height, width = size or (64, 128)
    assert pixels.shape == (height, width, 3)
    assert shape_of(str(tmp_path / "a.jpg")) == (64, 128, 3)
    assert pixels[: height // 2 - 1, : width // 2 - 1].mean() > 250
    assert pixels[height // 2 + 1 :].mean() < 5


def test_crop_stretch_and_pad(tmp_path: Path) -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    file = str(save(tmp_path / "a.png", wide))
    assert (decode(file, Decoding((10, 10), "crop", 3)) == 255).all()  # the middle, pixel by pixel
    assert (decode(file, Decoding((5, 5), "crop", 3))[:, 1:-1] == 255).all()
    stretched = decode(file, Decoding((10, 15), "stretch", 3))
    assert stretched.shape == (10, 15, 3)
    assert stretched[5, [0, 3, 6, 8, 11, 14], 0].tolist() == [0, 0, 255, 255, 0, 0]
    padded = decode(file, Decoding((30, 30), "pad", 3))
    assert np.array_equal(padded[10:20], wide)
    assert not padded[:10].any()
    assert not padded[20:].any()


def test_a_large_jpeg_reduced_by_the_decoder_looks_the_same(tmp_path: Path) -> None:
    file = save(tmp_path / "a.jpg", picture(4, 240, 320), quality=95)
    with Image.open(file) as image:
        whole = image.resize((40, 30), Image.Resampling.BILINEAR)
    difference = np.abs(decode(str(file), Decoding((30, 40), "crop", 3)).astype(int) - np.asarray(whole))
    assert difference.mean() < 1
    assert difference.max() < 6


def test_16_bits_are_scaled_as_declared_and_never_silently(tmp_path: Path) -> None:
    grey = np.array([[0, 1000], [500, 250]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    with pytest.raises(Unreadable, match=r"16 bits.*data\.scale"):
        decode(str(tmp_path / "a.png"), AS_IT_IS)
    pixels = decode(str(tmp_path / "a.png"), Decoding(None, "crop", None, (0, 1000)))
    assert pixels[..., 0].tolist() == [[0, 255], [128, 64]]
    with pytest.raises(Unreadable, match=r"outside data\.scale, 0 to 999"):
        decode(str(tmp_path / "a.png"), Decoding(None, "crop", None, (0, 999)))


def test_what_can_not_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("words")
    noise = np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = save(tmp_path / "a.jpg", noise).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    file = io.BytesIO()
    Image.fromarray(picture(6, 64, 64)).save(file, "PNG")
    (tmp_path / "cut.png").write_bytes(file.getvalue()[:-40])
    for name, reason in (
        ("words.png", "none of"),
        ("cut.jpg", "truncated"),
        ("cut.png", r"\w"),
        ("no.png", "No such file"),
    ):
        with pytest.raises(Unreadable, match=reason):
            decode(str(tmp_path / name), AS_IT_IS)
    assert shape_of(str(tmp_path / "cut.jpg")) == (64, 64, 3)  # its header is whole
    with pytest.raises(Unreadable):
        shape_of(str(tmp_path / "words.png"))
