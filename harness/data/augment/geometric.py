"""Where pixels move: exact to the pixel, or between pixels by bilinear interpolation."""

import math
from collections.abc import Sequence

import tensorflow as tf

from harness.data.random import Random

_TRIES = 10


def shift(images: tf.Tensor, random: Random, pixels: int) -> tf.Tensor:
    """Each image moved down and right by whole numbers, uniform in -pixels … pixels, with zeros coming in."""
    return moved(images, random.integers(2, 2 * pixels + 1) - pixels)


def crop(images: tf.Tensor, random: Random, padding: int = 4, fill: str = "zeros") -> tf.Tensor:
    """Of each image, padded by `padding` on each side, a part of the old size, each of the (2·padding + 1)² places as
    likely: the usual augmentation of CIFAR. `fill`: zeros, or reflect, the image mirrored at its outermost pixels."""
    return moved(images, random.integers(2, 2 * padding + 1) - padding, is_mirrored=fill == "reflect")


def flip(images: tf.Tensor, random: Random, direction: str = "horizontal", probability: float = 0.5) -> tf.Tensor:
    """Left and right swapped, or top and bottom, in a share of the images."""
    flipped = tf.reverse(images, [2 if direction == "horizontal" else 1])
    return tf.where(random(1)[:, :, None, None] < probability, flipped, images)


def random_resized_crop(
    images: tf.Tensor, random: Random, area: Sequence[float] = (0.08, 1.0), ratio: Sequence[float] = (3 / 4, 4 / 3)
) -> tf.Tensor:
    """A part of each image, enlarged to its size; float32.

    Its share of the image is uniform in `area`, the logarithm of width / height is uniform in that of `ratio`, and the
    place is uniform among the whole pixels where it fits (Szegedy et al. 2015, arXiv 1409.4842, §6). Of ten tries the
    first that fits counts; else it is the largest part in the middle whose shape is in `ratio`. So in torchvision.
    """
    height, width = images.shape[1:3]
    fits, first = drawn_part(random, height, width, area, ratio, wide=True)
    middle = tf.constant(_middle(height, width, ratio), tf.float64)
    chosen = tf.cast(tf.where(fits[:, None], first, middle), tf.float32)
    part, corner = chosen[:, :2], chosen[:, 2:]
    rows, columns = (
        tf.clip_by_value(
            corner[:, axis, None] + (tf.range(side, dtype=tf.float32) + 0.5) * (part[:, axis, None] / side) - 0.5,
            corner[:, axis, None],
            corner[:, axis, None] + part[:, axis, None] - 1,
        )
        for axis, side in enumerate((height, width))
    )
    return sampled(images, rows[:, :, None], columns[:, None, :])


def drawn_part(
    random: Random, height: int, width: int, area: Sequence[float], ratio: Sequence[float], wide: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """A part of each image: of ten tries the first that fits into it.

    Args:
        area: the least and the greatest share of the image, between which the part's is uniform.
        ratio: the least and the greatest of its two sides' ratio, between whose logarithms that of its own is uniform.
        wide: whether that is width / height, or height / width.

    Returns:
        (n,) bool, whether one fits, and (n, 4) float64: its height, its width and its first row and column, which are
        uniform among those where it fits.
    """
    numbers = tf.cast(tf.reshape(random(4 * _TRIES), [-1, _TRIES, 4]), tf.float64)
    size = height * width * (area[0] + (area[1] - area[0]) * numbers[..., 0])
    shape = tf.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * numbers[..., 1])
    sides = tf.round(tf.sqrt(tf.stack([size / shape, size * shape] if wide else [size * shape, size / shape], axis=-1)))
    fits = tf.reduce_all((sides >= 1) & (sides <= [height, width]), axis=-1)
    tried = tf.concat([sides, tf.floor(numbers[..., 2:] * ([height, width] - sides + 1))], axis=-1)
    return tf.reduce_any(fits, axis=1), tf.gather(tried, tf.argmax(tf.cast(fits, tf.int32), axis=1), batch_dims=1)


def rotation(images: tf.Tensor, random: Random, degrees: float) -> tf.Tensor:
    """Turned about the middle by an angle uniform in -degrees … degrees, with zeros coming in; float32."""
    angle = _both_ways(random) * math.radians(degrees)
    return transformed(images, matrix(tf.cos(angle), tf.sin(angle), -tf.sin(angle), tf.cos(angle)))


def scale(images: tf.Tensor, random: Random, factor: Sequence[float] = (0.8, 1.25)) -> tf.Tensor:
    """Enlarged about the middle by a factor whose logarithm is uniform in that of `factor`; float32."""
    low, high = map(math.log, factor)
    by = tf.exp(-(low + (high - low) * tf.cast(random(1)[:, 0], tf.float64)))
    return transformed(images, matrix(by, 0, 0, by))


def shear(images: tf.Tensor, random: Random, degrees: float) -> tf.Tensor:
    """Rows moved sideways, so that vertical lines are tilted by an angle uniform in -degrees … degrees; float32."""
    return transformed(images, matrix(1, 0, tf.tan(_both_ways(random) * math.radians(degrees)), 1))


def moved(images: tf.Tensor, by: tf.Tensor, is_mirrored: bool = False) -> tf.Tensor:
    """Each image moved; what comes in from outside is zero, or the image mirrored at its outermost pixels. Written as
    one gather, which XLA can compile.

    Args:
        images: (n, height, width, channels).
        by: int32 (n, 2), pixels down and right; less than the image's sides where it is mirrored.
    """
    height, width = images.shape[1:3]
    row, column = tf.range(height) - by[:, :1], tf.range(width) - by[:, 1:]
    if is_mirrored:
        return _pixels(images, _mirrored(row, height)[:, :, None], _mirrored(column, width)[:, None, :])
    inside = _within(row, height)[:, :, None] & _within(column, width)[:, None, :]
    found = _pixels(images, row[:, :, None], column[:, None, :])
    return tf.where(inside[..., None], found, tf.zeros([], images.dtype))


def transformed(images: tf.Tensor, linear: tf.Tensor, by: tf.Tensor | None = None) -> tf.Tensor:
    """Each image under an affine map about its middle, bilinear, with zeros coming in; float32.

    Args:
        images: (n, height, width, channels).
        linear: float32 (n, 2, 2), from (row, column) in the result to where that comes from in the image.
        by: float32 (n, 2), rows and columns added to that.
    """
    height, width = images.shape[1:3]
    middle = (height - 1) / 2, (width - 1) / 2
    row = tf.range(height, dtype=tf.float32)[:, None] - middle[0]
    column = tf.range(width, dtype=tf.float32)[None, :] - middle[1]
    rows, columns = (
        linear[:, axis, 0, None, None] * row + linear[:, axis, 1, None, None] * column + middle[axis] for axis in (0, 1)
    )
    if by is not None:
        rows, columns = rows + by[:, 0, None, None], columns + by[:, 1, None, None]
    return sampled(images, rows, columns)


def sampled(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """The images at places between their pixels, bilinear; what is outside is zero. float32, of the places' shape.

    At a whole row and column the pixel itself comes out, exactly.

    Args:
        images: (n, height, width, channels).
        rows, columns: float32 that broadcast to (n, height, width).
    """
    height, width = images.shape[1:3]
    # Farther than one pixel outside everything is zero, and a float beyond int32 can't be cast.
    rows, columns = tf.clip_by_value(rows, -1.0, height), tf.clip_by_value(columns, -1.0, width)
    top, left = tf.floor(rows), tf.floor(columns)
    result = tf.zeros([], tf.float32)
    for row in (top, top + 1):
        for column in (left, left + 1):
            whole = tf.cast(row, tf.int32), tf.cast(column, tf.int32)
            inside = _within(whole[0], height) & _within(whole[1], width)
            share = tf.where(inside, (1 - tf.abs(rows - row)) * (1 - tf.abs(columns - column)), 0.0)
            result += share[..., None] * tf.cast(_pixels(images, *whole), tf.float32)
    return result


def matrix(*entries: tf.Tensor | float) -> tf.Tensor:
    """Four numbers, or tensors (n,) of them, → float32 (n, 2, 2), row by row.

    They are worked out in float64: sine and exponential may differ in the last bit between an example in the middle of
    a batch and one at its end, where other code computes it, and rounding to float32 takes that away.
    """
    count = next(tf.shape(entry) for entry in entries if tf.is_tensor(entry))
    filled = [tf.broadcast_to(tf.cast(entry, tf.float32), count) for entry in entries]
    return tf.reshape(tf.stack(filled, axis=-1), [-1, 2, 2])


def _both_ways(random: Random) -> tf.Tensor:
    """(n,) float64, uniform in -1 … 1."""
    return 2 * tf.cast(random(1)[:, 0], tf.float64) - 1


def _middle(height: int, width: int, ratio: Sequence[float]) -> tuple[int, int, int, int]:
    """Height, width, top and left of the largest part in the middle with width / height in `ratio`."""
    across, down = width, height
    if width / height < ratio[0]:
        down = min(height, max(1, round(width / ratio[0])))
    elif width / height > ratio[1]:
        across = min(width, max(1, round(height * ratio[1])))
    return down, across, (height - down) // 2, (width - across) // 2


def _pixels(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """The pixels at whole rows and columns, which broadcast to (n, height, width); any where that is outside."""
    count, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    image = tf.range(count)[:, None, None] * (height * width)
    place = image + tf.clip_by_value(rows, 0, height - 1) * width + tf.clip_by_value(columns, 0, width - 1)
    return tf.gather(tf.reshape(images, [-1, channels]), place)


def _mirrored(index: tf.Tensor, size: int) -> tf.Tensor:
    return (size - 1) - tf.abs((size - 1) - tf.abs(index))


def _within(index: tf.Tensor, size: int) -> tf.Tensor:
    return (index >= 0) & (index < size)
