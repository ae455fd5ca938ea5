"""π, the order of the data: which row of the training set stands at a position of the endless stream of examples."""

import tensorflow as tf

from harness.data.random import bits

# Each epoch's permutation is a cipher keyed by 3 words. TensorFlow's default of 4 rounds leaves the permutations of two
# epochs correlated at 0.6 to 0.9; from 8 rounds on no correlation is measurable.
_ROUNDS = 8
_KEY_WORDS = 3
_STREAM = 1
_PARTNERS_STREAM = 999


def rows(positions: tf.Tensor, seed: int, count: int) -> tf.Tensor:
    """The rows at `positions`: position p is entry p mod count of the permutation of epoch p // count.

    Args:
        positions: int64 tensor (n,), each at least 0.
        seed: the run's seed.
        count: rows in the training set.

    Returns:
        int64 tensor (n,) with values from 0 to count - 1. Within an epoch every row occurs once.
    """
    return _permuted(positions, seed, _STREAM, count)


def partner_rows(positions: tf.Tensor, seed: int, count: int) -> tf.Tensor:
    """As `rows`, those that the examples at `positions` are mixed with: an order of its own, in which every row of the
    training set is somebody's partner once in an epoch. So partners depend on no batch."""
    return _permuted(positions, seed, _PARTNERS_STREAM, count)


def _permuted(positions: tf.Tensor, seed: int, stream: int, count: int) -> tf.Tensor:
    epochs = positions // count
    first_word = tf.expand_dims(epochs * _KEY_WORDS, 1)
    words = bits(seed, stream, first_word + tf.range(_KEY_WORDS, dtype=tf.int64))
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % count,
        seed=tf.cast(tf.bitwise.bitwise_and(words, tf.constant(0xFFFFFFFF, tf.uint64)), tf.uint32),
        max_index=tf.fill(tf.shape(positions), tf.constant(count - 1, tf.int64)),
        rounds=_ROUNDS,
    )
