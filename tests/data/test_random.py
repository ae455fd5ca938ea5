import itertools

import numpy as np
import pytest
import tensorflow as tf

from harness.data.random import bits

GAMMA = 0x9E3779B97F4A7C15


def splitmix64(z: int) -> int:
    """The output function of SplitMix64, from the paper's Java code."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_what_bits_are_compared_with_gives_the_published_sequence_of_seed_1234567() -> None:
    assert [splitmix64((1234567 + n * GAMMA) % 2**64) for n in range(1, 6)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
@pytest.mark.parametrize("stream", [1, 2])
def test_bits_are_splitmix64_started_at_seed_and_stream(seed: int, stream: int) -> None:
    start = splitmix64((splitmix64(seed * GAMMA % 2**64) + stream * GAMMA) % 2**64)
    counters = [0, 1, 2, 1000, 2**40, 2**62]
    expected = [splitmix64((start + counter * GAMMA) % 2**64) for counter in counters]
    assert bits(seed, stream, tf.constant(counters, tf.int64)).numpy().tolist() == expected


def test_golden_values() -> None:
    numbers = bits(7, 1, tf.range(3, dtype=tf.int64)).numpy().tolist()
    assert numbers == [14016776953384301605, 104081216152829385, 1693968725247066269]


def test_a_counter_of_any_shape_gives_bits_of_that_shape() -> None:
    flat = bits(3, 2, tf.range(12, dtype=tf.int64))
    square = bits(3, 2, tf.reshape(tf.range(12, dtype=tf.int64), [3, 4]))
    assert square.dtype == tf.uint64
    np.testing.assert_array_equal(square.numpy().ravel(), flat.numpy())


def test_every_bit_is_set_half_the_time() -> None:
    count = 40_000
    numbers = bits(11, 1, tf.range(count, dtype=tf.int64)).numpy()
    shares = [np.mean((numbers >> np.uint64(place)) & np.uint64(1)) for place in range(64)]
    assert np.abs(np.array(shares) - 0.5).max() < 5 * 0.5 / np.sqrt(count)


def test_streams_and_seeds_are_independent() -> None:
    count = 20_000
    counter = tf.range(count, dtype=tf.int64)
    sequences = {
        (seed, stream): bits(seed, stream, counter).numpy() / 2**64 for seed in (0, 1, 2) for stream in (0, 1, 2)
    }
    for first, second in itertools.combinations(sequences, 2):
        assert not np.intersect1d(sequences[first], sequences[second]).size, (first, second)
        correlation = np.corrcoef(sequences[first], sequences[second])[0, 1]
        assert abs(correlation) < 5 / np.sqrt(count), (first, second)
