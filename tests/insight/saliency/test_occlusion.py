import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.saliency import occlusion
from harness.insight.saliency.perturbation import windows

STARTS = [0, 3, 6, 9, 12, 15, 18, 21, 22]
"""Of windows of 6 pixels along 28."""


def test_windows_cover_everything_whatever_the_size() -> None:
    for height, width in [(28, 28), (20, 33), (7, 3), (1, 1), (224, 224)]:
        covers = windows(height, width)
        assert covers.shape[1:] == (height, width)
        assert covers.any(axis=0).all()
        assert len(covers) <= 144
        sizes = covers.sum(axis=(1, 2))
        assert set(sizes) == {max(1, round(height / 5)) * max(1, round(width / 5))}
    rows = np.any(windows(28, 28)[::9], axis=2)
    expected = [[0, 1, 2, 3, 4, 5], [3, 4, 5, 6, 7, 8], [22, 23, 24, 25, 26, 27]]
    assert [row.nonzero()[0].tolist() for row in rows[[0, 1, 8]]] == expected


def test_is_the_mean_fall_of_the_logit_under_the_windows_of_a_pixel(
    cnn: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int32]
) -> None:
    maps = occlusion(cnn, images[:2], labels[:2], shade=60.0)
    places = [(row, column) for row in STARTS for column in STARTS]
    for image, label, found in zip(images[:2].astype(np.float32), labels, maps, strict=False):
        hidden = np.stack([image] * (len(places) + 1))
        for one, (row, column) in zip(hidden[1:], places, strict=True):
            one[row : row + 6, column : column + 6] = 60
        whole, *without = cnn(hidden).numpy()[:, label]
        total, count = np.zeros((28, 28)), np.zeros((28, 28))
        for says, (row, column) in zip(without, places, strict=True):
            total[row : row + 6, column : column + 6] += whole - says
            count[row : row + 6, column : column + 6] += 1
        np.testing.assert_allclose(found, total / count, rtol=1e-3, atol=1e-6)


def test_hides_all_channels_and_knows_both_signs() -> None:
    # The logit is 3 times the red at the one place, and less 2 times the blue at the other.
    def logits(images: tf.Tensor) -> tf.Tensor:
        return (3 * images[:, 2, 3, 0] - 2 * images[:, 10, 11, 2])[:, tf.newaxis]

    (found,) = occlusion(logits, np.full((1, 14, 14, 3), 10, np.uint8), np.array([0]))
    assert found[2, 3] == 30
    assert found[10, 11] == -20
    assert found[6, 6] == 0
