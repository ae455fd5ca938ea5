"""Max pooling by strided slices, against Keras's own."""

import itertools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.keras_internals import max_pooling_by
from harness.training.pooling import strided_max_pool

POOLINGS = [
    (size, strides, padding, data_format)
    for (size, strides), padding, data_format in itertools.product(
        [(2, None), (3, 2), (2, 1), ((3, 2), (1, 3)), (5, 4)], ["valid", "same"], ["channels_last", "channels_first"]
    )
]


@pytest.mark.parametrize(("size", "strides", "padding", "data_format"), POOLINGS)
def test_strided_max_pooling_is_keras_own(size: Any, strides: Any, padding: str, data_format: str) -> None:
    images = np.random.default_rng(0).permutation(2 * 9 * 11 * 3).reshape(2, 9, 11, 3).astype(np.float32)  # no ties
    images = tf.constant(images - 300 if data_format == "channels_last" else np.moveaxis(images, 3, 1))
    layer = keras.layers.MaxPooling2D(size, strides, padding, data_format)
    (expected, expected_gradient), counted = pooled(layer, images)
    with max_pooling_by(strided_max_pool):
        (actual, gradient), operations = pooled(layer, images)
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(gradient, expected_gradient)
    assert "MaxPool" in counted
    assert not any("MaxPool" in operation for operation in operations)


def pooled(layer: keras.layers.Layer, images: tf.Tensor) -> tuple[Any, set[str]]:
    """Output and gradient of its weighted sum, and the operations that make them."""

    def compute(images: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            output = layer(images)
            weighted = output * tf.reshape(tf.range(tf.size(output, tf.int32), dtype=tf.float32), tf.shape(output))
        return output, tape.gradient(weighted, images)

    traced = tf.function(compute, autograph=False).get_concrete_function(images)
    return traced(images), {operation.type for operation in traced.graph.get_operations()}


def test_under_xla_it_has_keras_own_gradient() -> None:
    images = tf.constant(np.random.default_rng(0).permutation(2 * 9 * 11).reshape(2, 9, 11, 1).astype(np.float32))
    layer = keras.layers.MaxPooling2D(3, 2, "same")

    def gradient(images: tf.Tensor) -> Any:
        with tf.GradientTape() as tape, max_pooling_by(strided_max_pool):
            tape.watch(images)
            squares = tf.square(layer(images))
        return tape.gradient(squares, images)

    with tf.GradientTape() as tape:
        tape.watch(images)
        squares = tf.square(layer(images))
    compiled = tf.function(gradient, jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(images), tape.gradient(squares, images), rtol=1e-6)


@pytest.mark.parametrize("rank", [1, 3])
def test_it_is_in_one_and_three_dimensions_too(rank: int) -> None:
    layer = {1: keras.layers.MaxPooling1D(3, 2, "same"), 3: keras.layers.MaxPooling3D(2)}[rank]
    images = tf.random.stateless_normal([2, *[8] * rank, 2], [0, 1])
    expected = layer(images)
    with max_pooling_by(strided_max_pool):
        np.testing.assert_array_equal(layer(images), expected)
    assert layer(images).shape == expected.shape


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_it_pads_in_half_precision(dtype: str) -> None:
    layer = keras.layers.MaxPooling2D(3, 2, "same", dtype=dtype)
    images = tf.cast(-tf.range(1, 26), dtype)[None, :, None, None] * tf.ones([1, 1, 4, 1], dtype)
    expected = layer(images)
    with max_pooling_by(strided_max_pool):
        np.testing.assert_array_equal(tf.cast(layer(images), tf.float32), tf.cast(expected, tf.float32))


def test_the_first_of_several_maxima_gets_the_gradient() -> None:
    images = tf.ones([1, 2, 2, 1])
    with max_pooling_by(strided_max_pool), tf.GradientTape() as tape:
        tape.watch(images)
        output = keras.layers.MaxPooling2D(2)(images)
    np.testing.assert_array_equal(tf.reshape(tape.gradient(output, images), [-1]), [1, 0, 0, 0])
