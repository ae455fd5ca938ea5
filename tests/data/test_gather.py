import numpy as np
import pytest
import tensorflow as tf

from harness.data.gather import gather_labels


@pytest.mark.parametrize("largest", [0, 1, 255, 256, 65_535, 65_536, 2**31 - 1])
def test_labels_of_any_size_are_given_as_they_are(largest: int) -> None:
    labels = np.array([0, largest, largest // 2, largest], np.int32)
    rows = tf.constant([[3, 0], [2, 1]], tf.int64)
    for found in (gather_labels(labels)(rows), tf.function(gather_labels(labels))(rows)):
        assert found.dtype == tf.int64
        np.testing.assert_array_equal(found, [[largest, 0], [largest // 2, largest]])
