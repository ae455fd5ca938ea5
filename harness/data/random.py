"""Randomness as a pure function of a seed and a counter, so that no device and no process keeps a state."""

import tensorflow as tf

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15


def bits(seed: int, stream: int, counter: tf.Tensor) -> tf.Tensor:
    """64 random bits per counter, independent between seeds and between streams.

    SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014) read at any place:
    its n-th output is the mixed value of `start + n · gamma`, and `start` here is the mixed (seed, stream).

    Args:
        seed: the run's seed.
        stream: which use of the seed this is.
        counter: int64 tensor of any shape.

    Returns:
        uint64 tensor of the same shape.
    """
    start = _mix_int(_mix_int(seed * _GOLDEN_GAMMA) + stream * _GOLDEN_GAMMA)
    return _mix(tf.constant(start, tf.uint64) + tf.cast(counter, tf.uint64) * tf.constant(_GOLDEN_GAMMA, tf.uint64))


def _mix(z: tf.Tensor) -> tf.Tensor:
    z = _xor_shifted(z, 30) * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    z = _xor_shifted(z, 27) * tf.constant(0x94D049BB133111EB, tf.uint64)
    return _xor_shifted(z, 31)


def _xor_shifted(z: tf.Tensor, places: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, tf.constant(places, tf.uint64)))


def _mix_int(z: int) -> int:
    z %= 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)
