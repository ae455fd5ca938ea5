"""Each reach into Keras and TensorFlow beyond their public names: that it does what it did when it was written."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.keras_internals import (
    MultiWorkerOverDevices,
    as_one_batch,
    disable_op_determinism,
    fresh_names,
    function_graph,
    graph_layers,
    has_own_state,
    is_op_determinism_enabled,
    last_operation,
    max_pooling_by,
    moments,
    optimizer_moments,
    pure,
    seed_generators,
)

RULES = [
    (keras.optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
    (keras.optimizers.Adam, {}),
    (keras.optimizers.AdamW, {"weight_decay": 0.1}),
    (keras.optimizers.Lion, {}),
    (keras.optimizers.Lamb, {}),
    (keras.optimizers.Nadam, {}),  # overrides a method that is made pure, and calls it
    (keras.optimizers.Muon, {"weight_decay": 0.1}),  # has a weight decay of its own
]


@pytest.mark.parametrize(("rule", "settings"), RULES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("jit", [False, True])
def test_a_pure_rule_updates_as_keras_does(rule: type[Any], settings: dict[str, Any], jit: bool) -> None:
    start = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    gradients = np.random.default_rng(1).normal(size=(3, 4, 3)).astype(np.float32)
    variable = keras.Variable(start)
    expected = rule(0.1, **settings)
    for gradient in gradients:
        expected.apply([tf.constant(gradient)], [variable])

    optimizer = pure(rule)(0.1, **settings)
    optimizer.build([keras.Variable(np.zeros((4, 3)), dtype="float32")])
    apply = tf.function(optimizer.stateless_apply, jit_compile=jit)
    weight, slots = tf.constant(start), [slot.value for slot in optimizer.variables]
    for gradient in gradients:
        (weight,), slots = apply(slots, [tf.constant(gradient)], [weight])
    np.testing.assert_allclose(weight, variable.numpy(), rtol=1e-5, atol=1e-6)
    for slot, of_keras in zip(slots, expected.variables, strict=True):
        np.testing.assert_allclose(slot, of_keras.numpy(), rtol=1e-5, atol=1e-6)
    assert optimizer.iterations.numpy() == 0  # nothing was assigned


def test_the_second_moments_are_found() -> None:
    optimizer = pure(keras.optimizers.Adam)(0.1, name="adam")
    optimizer.build([keras.Variable(np.zeros(3), dtype="float32", name=name) for name in "ab"])
    moments = [optimizer.variables[place].path for place in optimizer_moments(optimizer)]
    assert moments == ["adam/a_velocity", "adam/b_velocity"]


def test_max_pooling_is_by_the_function_given_where_all_sides_are_known() -> None:
    layer = keras.layers.MaxPooling2D(2)
    with max_pooling_by(lambda inputs, *args, **kwargs: -inputs):
        assert layer(tf.ones([1, 2, 2, 1])).shape == (1, 2, 2, 1)
        any_side = tf.function(layer).get_concrete_function(tf.TensorSpec([1, None, 2, 1]))
    np.testing.assert_array_equal(any_side(tf.ones([1, 2, 2, 1])), [[[[1]]]])


def test_outside_of_it_keras_pools_itself() -> None:
    with pytest.raises(ZeroDivisionError), max_pooling_by(tf.negative):
        raise ZeroDivisionError
    assert keras.layers.MaxPooling2D(2)(tf.ones([1, 4, 4, 1])).shape == (1, 2, 2, 1)


def test_other_threads_pool_as_keras_does() -> None:
    with max_pooling_by(tf.negative), ThreadPoolExecutor() as other:
        output = other.submit(keras.layers.MaxPooling2D(2), tf.ones([1, 4, 4, 1])).result()
    assert output.shape == (1, 2, 2, 1)


def test_determinism_can_be_taken_back() -> None:
    tf.config.experimental.enable_op_determinism()
    assert is_op_determinism_enabled()
    disable_op_determinism()
    assert not is_op_determinism_enabled()
    tf.random.normal([1])  # is an error under determinism


def test_layers_inside_layers_are_found() -> None:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="deep")])
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.ReLU(name="flat")])
    assert {"deep", "flat"} <= {layer.name for layer in graph_layers(model)}


def test_moments_are_those_of_the_rows_that_count() -> None:
    rows = np.random.default_rng(0).normal(100, 2, (6, 5, 4, 3)).astype(np.float32)
    weights = tf.constant([1.0, 0, 1, 1, 0, 1])
    mean, variance = moments(tf.constant(rows), [0, 1, 2], weights, tf.constant([99.0, 100, 101]))
    real = rows[[0, 2, 3, 5]].astype(np.float64)
    np.testing.assert_allclose(mean, real.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(variance, real.var(axis=(0, 1, 2)), rtol=1e-4)
    first = np.moveaxis(rows, -1, 1)
    for one, other in zip(moments(tf.constant(first), [0, 2, 3], weights, mean), (mean, variance), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)


def in_one_batch(layer: keras.layers.Layer, inputs: Any, weights: Any, bits: Any = None) -> Any:
    model = keras.Sequential([keras.Input(inputs.shape[1:]), layer])
    with as_one_batch(model, tf.constant(weights), bits):
        return model(tf.constant(inputs), training=True).numpy()


def test_batch_normalization_leaves_padding_out() -> None:
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    normalized = in_one_batch(keras.layers.BatchNormalization(), rows, [1.0, 1, 1, 0])
    expected = (rows - rows[:3].mean(axis=0)) / np.sqrt(rows[:3].var(axis=0) + 1e-3)
    np.testing.assert_allclose(normalized, expected, rtol=1e-4, atol=1e-5)


def half(layer: int, draw: int, numbers: int) -> tf.Tensor:
    """The first half of each row of two small, the other large."""
    row = tf.repeat(tf.constant([0, 2**63], tf.uint64), numbers // 2)
    return tf.stack([row, row])


def test_dropout_keeps_where_what_is_drawn_is_large() -> None:
    ones = np.ones((2, 6), np.float32)
    kept = in_one_batch(keras.layers.Dropout(0.25), ones, [1.0, 1], half)
    np.testing.assert_allclose(kept, [[0, 0, 0, 4 / 3, 4 / 3, 4 / 3]] * 2, rtol=1e-6)


def test_noise_is_what_the_drawn_fraction_is_a_quantile_of() -> None:
    noise = in_one_batch(keras.layers.GaussianNoise(1.0), np.zeros((2, 6), np.float32), [1.0, 1], half)
    assert (noise[:, :3] < -5).all()  # of 2⁻²⁴
    np.testing.assert_allclose(noise[:, 3:], 0, atol=1e-5)


def test_each_random_layer_has_a_number_and_each_draw_of_it() -> None:
    asked = []

    def bits(layer: int, draw: int, numbers: int) -> tf.Tensor:
        asked.append((layer, draw, numbers))
        return tf.zeros([2, numbers], tf.uint64)

    twice = keras.layers.Dropout(0.5)
    pixels = keras.Input((4,))
    model = keras.Model(pixels, twice(keras.layers.GaussianNoise(0.5)(keras.layers.Dense(3)(twice(pixels)))))
    assert len(seed_generators(model)) == 2
    with as_one_batch(model, tf.ones(2), bits):
        model(tf.ones([2, 4]), training=True)
    by_layer = sorted(asked)
    assert by_layer == [(0, 1, 4), (0, 2, 3), (1, 1, 3)]


def test_layers_are_called_the_same_in_any_process() -> None:
    keras.layers.Dense(1)
    with fresh_names():
        assert [keras.layers.Dense(1).name, keras.layers.Dense(1).name] == ["dense", "dense_1"]
    with fresh_names():
        assert keras.layers.Dense(1).name == "dense"
    outside = keras.layers.Dense(1).name
    assert outside != "dense"


def test_a_function_graph_traces_as_a_function_does() -> None:
    with function_graph():
        labels = tf.compat.v1.placeholder(tf.int64, (3,))
        assert (labels == tf.constant([1, 2, 3], tf.int64)).shape == (3,)  # in a plain tf.Graph one Python bool


def test_a_layer_has_a_state_of_its_own_where_a_variable_is_not_trained() -> None:
    class Counts(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.calls = self.add_weight(shape=(), trainable=False)

    counts = Counts()
    counts.build((None, 3))
    dense = keras.layers.Dense(2)
    dense.build((None, 3))
    assert has_own_state(counts)
    assert not has_own_state(dense)
    around = keras.Sequential([keras.Input((3,)), counts])
    assert not has_own_state(around), "the state is the layer's inside it"


def test_the_last_operation_is_the_layer_or_the_sum_that_gives_the_output() -> None:
    pixels = keras.Input((3,))
    dense, twice = keras.layers.Dense(2), keras.layers.Dense(2)
    assert last_operation(keras.Model(pixels, dense(pixels))) is dense
    total = keras.Model(pixels, dense(pixels) + twice(pixels))
    assert isinstance(last_operation(total), keras.Operation)
    assert last_operation(total) not in (dense, twice)
    shared = keras.Model(pixels, [dense.output, pixels])
    assert last_operation(shared) is dense, "of the first output"


def test_a_strategy_of_workers_takes_the_devices_it_is_given() -> None:
    devices = [f"CPU:{index}" for index in range(len(tf.config.list_logical_devices("CPU")))]
    alone = tf.distribute.cluster_resolver.SimpleClusterResolver(tf.train.ClusterSpec({}))
    strategy = MultiWorkerOverDevices(alone, tf.distribute.experimental.CommunicationOptions(), devices)
    assert strategy.num_replicas_in_sync == len(devices)
    assert [device.rpartition("device:")[2] for device in strategy.extended.worker_devices] == devices
