import itertools

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.data.order import rows


def epoch(number: int, seed: int, count: int) -> NDArray[np.int64]:
    """The rows of one whole epoch, in order."""
    order: NDArray[np.int64] = rows(tf.range(number * count, (number + 1) * count, dtype=tf.int64), seed, count).numpy()
    return order


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 57, 1000, 1024, 55_000])
def test_an_epoch_holds_every_row_once(count: int) -> None:
    for number in (0, 1, 2, 4321):
        np.testing.assert_array_equal(np.sort(epoch(number, 5, count)), np.arange(count))


def test_golden_vectors() -> None:
    """Pinned, so that no release of TensorFlow and no change here reorders the examples of a run half done."""
    three_epochs = rows(tf.range(30, dtype=tf.int64), 0, 10).numpy().reshape(3, 10)
    assert three_epochs.tolist() == [
        [4, 3, 7, 2, 9, 8, 6, 1, 5, 0],
        [1, 3, 9, 0, 6, 7, 2, 5, 8, 4],
        [1, 4, 8, 3, 6, 5, 7, 0, 9, 2],
    ]
    positions = tf.constant([0, 1, 2, 59_999, 60_000, 299_999], tf.int64)
    assert rows(positions, 42, 60_000).numpy().tolist() == [4583, 19170, 37949, 1764, 14674, 41174]


def test_a_batch_may_span_several_epochs() -> None:
    whole = np.concatenate([epoch(number, 3, 5) for number in range(5)])
    np.testing.assert_array_equal(rows(tf.range(3, 22, dtype=tf.int64), 3, 5).numpy(), whole[3:22])


def test_positions_may_come_in_any_order() -> None:
    positions = np.random.default_rng(0).permutation(300)
    in_order = rows(tf.range(300, dtype=tf.int64), 8, 100).numpy()
    np.testing.assert_array_equal(rows(tf.constant(positions, tf.int64), 8, 100).numpy(), in_order[positions])


def test_a_row_lands_everywhere_equally_often() -> None:
    count, epochs = 100, 400
    order = rows(tf.range(epochs * count, dtype=tf.int64), 1, count).numpy().reshape(epochs, count)
    landed = np.zeros((count, count))
    np.add.at(landed, (order, np.arange(count)[None, :]), 1)
    expected = epochs / count
    freedom = (count - 1) ** 2  # every row and every place occurs once an epoch
    chi_square = np.sum((landed - expected) ** 2) / expected * (count - 1) / count
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_no_two_epochs_are_correlated() -> None:
    count = 60_000
    epochs = [epoch(number, 0, count) for number in range(12)]
    correlations = [np.corrcoef(first, second)[0, 1] for first, second in itertools.combinations(epochs, 2)]
    assert len(correlations) == 66
    assert np.abs(correlations).max() < 5 / np.sqrt(count)


def test_an_epoch_is_not_correlated_with_the_rows_own_order() -> None:
    count = 60_000
    for number in range(4):
        order = epoch(number, 0, count)
        assert abs(np.corrcoef(order, np.arange(count))[0, 1]) < 5 / np.sqrt(count)
        assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 5 / np.sqrt(count)


def test_different_seeds_are_not_correlated() -> None:
    count = 60_000
    orders = [epoch(0, seed, count) for seed in (0, 1, 2, 3, 2**31 - 1)]
    for first, second in itertools.combinations(orders, 2):
        assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(count)
