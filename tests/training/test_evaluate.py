from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.cluster.strategy import Cluster
from harness.data import sources
from harness.data.sources import Split
from harness.models.cnn import build
from harness.training.evaluate import Evaluator


@pytest.fixture(scope="module")
def digits() -> Split:
    mnist = sources.load("mnist")
    return Split(mnist.x_test[:200], mnist.y_test[:200])


def evaluator(cluster: Cluster, batch: int, dtype: str = "float32") -> Evaluator:
    with cluster.strategy.scope():
        return Evaluator(cluster, build("cnn", (28, 28, 1), 10, seed=4, dtype=dtype), batch)


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


@pytest.mark.parametrize("batch", [1, 7, 1000])
@pytest.mark.parametrize("count", [1, 2])
def test_any_batch_on_any_number_of_replicas_gives_the_same(
    replicas: Callable[[int], Cluster], digits: Split, expected: dict[str, float], count: int, batch: int
) -> None:
    result = evaluator(replicas(count), batch)(digits)
    assert result["examples"] == 200
    assert result["accuracy"] == expected["accuracy"]  # the counts behind it are whole numbers
    assert result["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert {name: type(value) for name, value in result.items()} == {"loss": float, "accuracy": float, "examples": int}


def test_one_evaluator_takes_many_splits_and_is_traced_once(replicas: Callable[[int], Cluster], digits: Split) -> None:
    evaluate = evaluator(replicas(1), 30)
    halves = [Split(digits.images[part], digits.labels[part]) for part in (slice(0, 80), slice(80, 200))]
    whole, *parts = (evaluate(split) for split in (digits, *halves))
    assert [result["examples"] for result in (whole, *parts)] == [200, 80, 120]
    assert whole["accuracy"] * 200 == pytest.approx(parts[0]["accuracy"] * 80 + parts[1]["accuracy"] * 120)
    assert whole["loss"] * 200 == pytest.approx(parts[0]["loss"] * 80 + parts[1]["loss"] * 120)
    assert evaluate(digits) == whole
    assert evaluate._sums.experimental_get_tracing_count() == 1


def test_a_split_that_is_gone_is_not_taken_for_a_new_one(
    replicas: Callable[[int], Cluster], digits: Split, of_each: dict[str, NDArray[np.float64]]
) -> None:
    evaluate = evaluator(replicas(1), 10)
    for first in range(0, 200, 20):
        part = slice(first, first + 20)
        result = evaluate(Split(digits.images[part], digits.labels[part]))  # may lie where the one before lay
        assert result["loss"] == pytest.approx(of_each["loss"][part].mean(), rel=1e-6)
        assert result["accuracy"] == pytest.approx(of_each["accuracy"][part].mean())


def test_weights_are_read_anew_at_each_call(replicas: Callable[[int], Cluster], digits: Split) -> None:
    evaluate = evaluator(replicas(1), 100)
    before = evaluate(digits)
    for weight in evaluate._model.trainable_variables:
        weight.assign(tf.zeros_like(weight))
    after = evaluate(digits)
    assert after["loss"] == pytest.approx(np.log(10), rel=1e-6)
    assert after["loss"] != before["loss"]
    assert after["accuracy"] == np.mean(digits.labels == 0)


def test_a_float64_model_is_evaluated_in_float64(
    replicas: Callable[[int], Cluster], digits: Split, expected: dict[str, float]
) -> None:
    evaluate = evaluator(replicas(1), 50, "float64")
    evaluate._model.set_weights(build("cnn", (28, 28, 1), 10, seed=4).get_weights())
    result = evaluate(digits)
    assert result["accuracy"] == expected["accuracy"]
    assert result["loss"] == pytest.approx(expected["loss"], rel=1e-6)
