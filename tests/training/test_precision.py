"""`train.precision: bfloat16`: what is computed in which dtype, and that it trains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import harness
from harness.config import Config, load
from harness.data import sources
from harness.data.pipeline import Batch
from harness.data.sources import Split
from harness.training.chunk import Chunk
from harness.training.state import State
from harness.training.step import gradients

Begin = Callable[..., tuple[State, Chunk]]
SmallTraining = Callable[..., Config]


@pytest.fixture(scope="module")
def state(new_state: Callable[..., State], small_training: SmallTraining) -> State:
    """With everything that may hold numbers."""
    config = small_training(optimizer={"name": "adam"}, train={"precision": "bfloat16", "ema": 0.9})
    return new_state(config)


def dtypes(values: Any) -> set[str]:
    return {keras.backend.standardize_dtype(value.dtype) for value in values}


def test_all_weights_and_moments_are_float32(state: State) -> None:
    floating = [variable for path, variable in state.variables().items() if not path.endswith("iteration")]
    assert len(floating) == 2 * 10 + 2  # weights and their average, two moments of all
    assert dtypes(floating) == {"float32"}


def test_hidden_layers_compute_in_bfloat16_and_the_ends_in_float32(state: State) -> None:
    expected = dict.fromkeys(["pixels", "scale", "logits"], "float32")
    assert {layer.name: layer.output.dtype for layer in state.model.layers} == {
        layer.name: expected.get(layer.name, "bfloat16") for layer in state.model.layers
    }
    outputs = keras.Model(state.model.inputs, [layer.output for layer in state.model.layers])
    for layer, output in zip(state.model.layers, outputs([np.zeros((2, 28, 28, 1), np.float32)]), strict=True):
        assert output.dtype == layer.output.dtype, layer.name


def test_logits_gradients_and_sums_are_float32(state: State, train_rows: Any) -> None:
    images, labels = tf.constant(train_rows.images[:8]), tf.constant(train_rows.labels[:8], tf.int64)
    batch = Batch(images, labels, tf.ones([8]), tf.range(8, dtype=tf.int64))
    grads, sums, _ = gradients(state.model, [weight.value for weight in state.model.trainable_variables], [], batch, 8)
    assert dtypes([state.model(tf.cast(images, tf.float32)), *grads, sums]) == {"float32"}
    # The backward pass did go through bfloat16: a gradient that comes out of it has no more digits than that.
    of_kernel = tf.reshape(grads[0], [-1])
    np.testing.assert_array_equal(of_kernel, tf.cast(tf.cast(of_kernel, tf.bfloat16), tf.float32))


@pytest.mark.slow
def test_on_two_replicas_it_trains_nearly_as_float32_does(begin: Begin, small_training: SmallTraining) -> None:
    mnist = sources.load("mnist")
    rows = Split(mnist.x_train[:1200], mnist.y_train[:1200])

    def losses(precision: str) -> list[float]:
        train = {"length": "60 steps", "global_batch": 20, "precision": precision}
        config = small_training(optimizer={"name": "adam", "learning_rate": 0.002}, train=train)
        _, chunk = begin(config, 2, rows=rows)
        return [chunk(20).loss for _ in range(3)]

    exact, rounded = losses("float32"), losses("bfloat16")
    assert rounded != exact
    assert rounded[-1] < 0.4 * rounded[0]
    np.testing.assert_allclose(rounded, exact, rtol=0, atol=0.03 * exact[0])


@pytest.mark.slow
def test_a_run_leaves_a_model_of_just_the_accuracy_it_told(small_config: Path, tmp_path: Path) -> None:
    settings = ["train.precision=bfloat16", "evaluate.batch=128"]
    settings += ["insight={methods: [gradient, gradcam], images: 1, filters: false}"]
    run = harness.train(load(small_config, settings), tmp_path / "run", quiet=True)
    assert run is not None
    config, summary = run.read_config(), run.read_summary()
    assert run.report_file.is_file()

    model = keras.saving.load_model(run.model_file, safe_mode=True)
    assert model.get_layer("conv_1").compute_dtype == "bfloat16"
    _, validation, test = sources.load(config.data.source).splits(config.data.validation)
    for name, split in {"validation": validation, "test": test}.items():
        probabilities = model.predict(split.images, batch_size=config.evaluate.batch, verbose=0)
        assert np.mean(probabilities.argmax(axis=1) == split.labels) == summary[name]["accuracy"]
