import io

import numpy as np
from PIL import Image

from harness.page.picture import Picture, blank, colour_bar, displayable, mosaic, place, png, with_own_names


def test_place_draws_what_it_is_given_where_it_is_told() -> None:
    figure, axes = blank(2, 1)
    place(axes, np.array([[0.0, 1.0]]), 1.0, 0.5, 1.0, 0.5, cmap="gray", vmin=0, vmax=1)
    drawn = np.asarray(Image.open(io.BytesIO(png(figure))).convert("L"))
    assert drawn.shape == (96, 192)
    assert (drawn[:48] == 255).all()
    assert (drawn[50:, :94] == 255).all()
    assert (drawn[50:94, 98:142] == 0).all()
    assert (drawn[50:94, 146:190] == 255).all()


def test_a_name_that_is_taken_gets_a_number() -> None:
    names = ["filters-kernels", "filters-conv", "filters-kernels", "filters-kernels-2", "filters-kernels"]
    pictures = with_own_names(Picture(name, name, "", "", b"") for name in names)
    assert [picture.name for picture in pictures] == [
        "filters-kernels",
        "filters-conv",
        "filters-kernels-2",
        "filters-kernels-2-2",
        "filters-kernels-3",
    ]
    assert [picture.title for picture in pictures] == names


def test_png_carries_no_time_and_no_version() -> None:
    figure, _ = blank(1, 1)
    assert set(Image.open(io.BytesIO(png(figure))).info) <= {"dpi"}


def test_mosaic_keeps_every_tile_in_its_place() -> None:
    tiles = np.arange(5, dtype=np.float32).reshape(5, 1, 1) * np.ones((5, 24, 24), np.float32)
    canvas = mosaic(tiles, 3)
    assert canvas.shape == (2 * 26 + 2, 3 * 26 + 2)
    assert canvas[2, 2 + 26] == 1
    assert canvas[2 + 26, 2 + 26] == 4
    assert np.isnan(canvas[0]).all()
    assert np.isnan(canvas[2 + 26, 2 + 2 * 26])


def test_displayable_keeps_three_channels_and_makes_others_grey() -> None:
    colour = np.array([[[0, 51, 255]]], np.uint8)
    np.testing.assert_allclose(displayable(colour), [[[0, 0.2, 1]]], rtol=1e-6)
    np.testing.assert_allclose(displayable(colour[..., 1:2]), [[[0.2, 0.2, 0.2]]], rtol=1e-6)


def test_a_colour_bar_runs_from_its_least_to_its_largest_value_with_ticks_between() -> None:
    figure, axes = blank(2, 1)
    colour_bar(axes, 0.5, 0.25, 1.0, "gray", -1, 1, "weight")
    words = [text.get_text() for text in axes.texts]
    assert words == ["-1", "-0.5", "0", "0.5", "1", "weight"]
    places = [text.get_position()[0] for text in axes.texts]
    np.testing.assert_allclose(places, [0.5, 0.75, 1, 1.25, 1.5, 1])
    drawn = np.asarray(Image.open(io.BytesIO(png(figure))).convert("L")).astype(int)
    bar = drawn[30, 50:142]  # half an inch from the left, a quarter from above, without its frame
    assert bar[0] <= 6
    assert bar[-1] >= 249
    assert (np.diff(bar) >= 0).all()
