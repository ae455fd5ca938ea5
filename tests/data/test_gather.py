import numpy as np
import pytest
import tensorflow as tf

from harness.data.gather import gather_labels


@pytest.mark.parametrize(
    ("largest", "size"), [(0, 1), (1, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 4), (2**31 - 1, 4)]
)
def test_labels_of_any_size_are_given_as_they_are_and_kept_in_few_bytes(largest: int, size: int) -> None:
    labels = np.array([0, largest, largest // 2, largest], np.int32)
    rows = tf.constant([[3, 0], [2, 1]], tf.int64)
    given = tf.function(gather_labels(labels)).get_concrete_function(rows)
    assert given(rows).dtype == tf.int64
    np.testing.assert_array_equal(given(rows), [[largest, 0], [largest // 2, largest]])
    (kept,) = given.captured_inputs
    assert kept.dtype.size == size
