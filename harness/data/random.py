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


class Random:
    """Random numbers for the examples at some positions of the stream: to each its own, whatever batch it is in.

    Called several times, it gives other numbers each time.
    """

    def __init__(self, seed: int, stream: int, positions: tf.Tensor) -> None:
        """`positions`: (n,) int64. `stream`: 0 to 999."""
        self._seed = seed
        self._stream = stream
        self._positions = positions

    def __call__(self, numbers: int) -> tf.Tensor:
        """(n, numbers) float32, uniform from 0 to below 1, in steps of 2⁻²⁴."""
        integers = tf.bitwise.right_shift(self._bits(numbers), tf.constant(40, tf.uint64))
        return tf.cast(tf.cast(integers, tf.int64), tf.float32) * 2.0**-24

    def integers(self, numbers: int, choices: int) -> tf.Tensor:
        """(n, numbers) int32, uniform from 0 to below `choices`."""
        return tf.cast(self._bits(numbers) % tf.constant(choices, tf.uint64), tf.int32)

    def bytes(self, numbers: int) -> tf.Tensor:
        """(n, numbers) uint8, uniform."""
        packed = tf.bitcast(self._bits(-(-numbers // 8)), tf.uint8)
        return tf.reshape(packed, [tf.shape(packed)[0], -1])[:, :numbers]

    def _bits(self, numbers: int) -> tf.Tensor:
        counter = tf.expand_dims(self._positions * numbers, 1) + tf.range(numbers, dtype=tf.int64)
        drawn = bits(self._seed, self._stream, counter)
        self._stream -= 1000  # the next call's: no other use of the seed has streams below 0
        return drawn
