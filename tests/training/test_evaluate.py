from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.cluster.strategy import Cluster
from harness.data import sources
from harness.data.sources import Split
from harness.models.cnn import build
from harness.training.evaluate import Evaluator
from harness.training.metrics import Measures, accuracy


@pytest.fixture(scope="module")
def digits() -> Split:
    mnist = sources.load("mnist")
    return Split(mnist.x_test[:200], mnist.y_test[:200])


def new_model(cluster: Cluster, dtype: str = "float32") -> keras.Model:
    with cluster.strategy.scope():
        return build("cnn", (28, 28, 1), 10, seed=4, dtype=dtype)


@pytest.fixture(scope="module")
def of_each(digits: Split) -> dict[str, NDArray[np.float64]]:
    """Loss and accuracy of each digit from the logits alone, in NumPy."""
    logits = build("cnn", (28, 28, 1), 10, seed=4)(digits.images[:].astype(np.float32)).numpy().astype(np.float64)
    of_label = logits[np.arange(200), digits.labels] - np.log(np.exp(logits).sum(axis=1))
    return {"loss": -of_label, "accuracy": (logits.argmax(axis=1) == digits.labels).astype(np.float64)}


@pytest.fixture(scope="module")
def expected(of_each: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    """The same of all."""
    return {name: float(values.mean()) for name, values in of_each.items()}


@pytest.mark.parametrize(("count", "batch"), [(1, 1000), (2, 1), (2, 7)])
def test_any_batch_on_any_number_of_replicas_gives_the_same(
    replicas: Callable[[int], Cluster], digits: Split, expected: dict[str, float], count: int, batch: int
) -> None:
    cluster = replicas(count)
    result = Evaluator(cluster, new_model(cluster), batch)(digits)
    assert result["examples"] == 200
    assert result["accuracy"] == expected["accuracy"]  # the counts behind it are whole numbers
    assert result["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert {name: type(value) for name, value in result.items()} == {"loss": float, "accuracy": float, "examples": int}


def test_one_evaluator_takes_many_splits_and_is_traced_once(replicas: Callable[[int], Cluster], digits: Split) -> None:
    traced = []

    def counted(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        traced.append(logits.shape)
        return accuracy(logits, labels)

    cluster = replicas(1)
    evaluate = Evaluator(cluster, new_model(cluster), 30, Measures(metrics={"accuracy": counted}))
    halves = [Split(digits.images[part], digits.labels[part]) for part in (slice(0, 80), slice(80, 200))]
    whole, *parts = (evaluate(split) for split in (digits, *halves))
    assert [result["examples"] for result in (whole, *parts)] == [200, 80, 120]
    assert whole["accuracy"] * 200 == pytest.approx(parts[0]["accuracy"] * 80 + parts[1]["accuracy"] * 120)
    assert whole["loss"] * 200 == pytest.approx(parts[0]["loss"] * 80 + parts[1]["loss"] * 120)
    assert evaluate(digits) == whole
    assert len(traced) == 1


def test_a_split_that_is_gone_is_not_taken_for_a_new_one(
    replicas: Callable[[int], Cluster], digits: Split, of_each: dict[str, NDArray[np.float64]]
) -> None:
    cluster = replicas(1)
    evaluate = Evaluator(cluster, new_model(cluster), 10)
    for first in range(0, 200, 20):
        part = slice(first, first + 20)
        result = evaluate(Split(digits.images[part], digits.labels[part]))  # may lie where the one before lay
        assert result["loss"] == pytest.approx(of_each["loss"][part].mean(), rel=1e-6)
        assert result["accuracy"] == pytest.approx(of_each["accuracy"][part].mean())


def test_weights_are_read_anew_at_each_call(replicas: Callable[[int], Cluster], digits: Split) -> None:
    cluster = replicas(1)
    model = new_model(cluster)
    evaluate = Evaluator(cluster, model, 100)
    before = evaluate(digits)
    for weight in model.trainable_variables:
        weight.assign(tf.zeros_like(weight))
    after = evaluate(digits)
    assert after["loss"] == pytest.approx(np.log(10), rel=1e-6)
    assert after["loss"] != before["loss"]
    assert after["accuracy"] == np.mean(digits.labels == 0)


def test_a_float64_model_is_evaluated_in_float64(
    replicas: Callable[[int], Cluster], digits: Split, expected: dict[str, float]
) -> None:
    cluster = replicas(1)
    model = new_model(cluster, "float64")
    model.set_weights(build("cnn", (28, 28, 1), 10, seed=4).get_weights())
    result = Evaluator(cluster, model, 50)(digits)
    assert result["accuracy"] == expected["accuracy"]
    assert result["loss"] == pytest.approx(expected["loss"], rel=1e-6)
