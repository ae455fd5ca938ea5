"""Metrics of single examples, and the losses and metrics of the user's own: what may come back from them."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from harness.cluster.strategy import Cluster
from harness.config import Config, resolve
from harness.data.sources import Split
from harness.errors import ConfigError
from harness.models.cnn import build
from harness.training import metrics
from harness.training.chunk import Chunk
from harness.training.evaluate import Evaluator
from harness.training.losses import cross_entropy, focal
from harness.training.metrics import Measures, accuracy, brier, negative_log_likelihood, top_k
from harness.training.state import State

LOGITS = np.array([[0, 2, 1, -1], [3, 2, 1, 0], [-4, -2, -3, -1]], np.float32)
LABELS = np.array([1, 2, 0])
Given = tuple[tf.Tensor, tf.Tensor]
OWN = """
import tensorflow as tf

def loss(logits, labels, alpha):
    return alpha * tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)

def margin(logits, labels, scale=1.0):
    best = tf.math.top_k(logits, 2).values
    return scale * (best[:, 0] - best[:, 1])

def one_number(logits, labels):
    return tf.reduce_mean(logits)

def by_class(logits, labels):
    return tf.reduce_sum(logits, axis=0)

def right(logits, labels):
    return tf.argmax(logits, axis=1) == labels

def constant(logits, labels):
    return tf.ones_like(labels, tf.float32)

def text(logits, labels):
    return "none"

def words(logits, labels):
    return tf.strings.as_string(labels)

def fails(logits, labels):
    raise KeyError("no such thing\\nat all")

number = 3
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "measured_by_me.py").write_text(OWN)
    yield "measured_by_me"
    sys.modules.pop("measured_by_me", None)


@pytest.fixture
def given() -> Given:
    return tf.constant(LOGITS), tf.constant(LABELS)


def test_accuracy_is_the_largest_logit(given: Given) -> None:
    assert accuracy(*given).numpy().tolist() == [True, False, False]


def test_of_one_logit_the_sign_decides() -> None:
    logits = tf.constant([[2.0], [-2.0], [0.1], [-0.1]])
    assert accuracy(logits, tf.constant([1, 1, 0, 0], tf.int64)).numpy().tolist() == [True, False, False, True]


@pytest.mark.parametrize(("k", "expected"), [(1, [1, 0, 0]), (2, [1, 0, 0]), (3, [1, 1, 0]), (4, [1, 1, 1])])
def test_top_k_counts_larger_logits(given: Given, k: int, expected: list[int]) -> None:
    assert top_k(*given, k).numpy().tolist() == expected


def test_a_logit_that_is_no_number_is_above_all_others() -> None:
    nan = np.nan
    logits = tf.constant([[nan, nan, nan], [nan, 2, 1], [nan, 2, 1]], tf.float32)
    assert top_k(logits, tf.constant([0, 1, 1]), 1).numpy().tolist() == [False, False, False]
    assert top_k(logits, tf.constant([0, 1, 1]), 2).numpy().tolist() == [False, True, True]


def test_top_k_of_one_logit_is_of_two_classes() -> None:
    logits, labels = tf.constant([[2.0], [-1.0], [3.0]]), tf.constant([1, 1, 0])
    assert top_k(logits, labels, 1).numpy().tolist() == [True, False, False]


def test_brier_and_likelihood_are_those_of_the_softmax(given: Given) -> None:
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(brier(*given), ((probabilities - np.eye(4)[LABELS]) ** 2).sum(axis=1), rtol=1e-6)
    expected = -np.log(probabilities[np.arange(3), LABELS])
    np.testing.assert_allclose(negative_log_likelihood(*given), expected, rtol=1e-6)


def test_of_one_logit_they_are_those_of_two_classes() -> None:
    z, labels = tf.constant([[2.0], [-1.0]]), tf.constant([1, 1], tf.int64)
    p = 1 / (1 + np.exp(-z[:, 0]))
    np.testing.assert_allclose(negative_log_likelihood(z, labels), -np.log(p), rtol=1e-6)
    np.testing.assert_allclose(brier(z, labels), 2 * (1 - p) ** 2, rtol=1e-6)


def test_a_metric_that_is_not_finite_has_no_value() -> None:
    measures = Measures(metrics={"a": accuracy, "b": accuracy})
    assert measures.means([1.0, np.inf], 2) == {"a": 0.5, "b": None}


def measured(module: str) -> dict[str, Any]:
    return {
        "loss": {"name": "focal", "gamma": 2.0},
        "metrics": {
            "top_3": {"name": "top_k", "k": 3},
            "brier": {"name": "brier"},
            "margin": {"name": f"{module}:margin", "scale": 0.5},
        },
    }


@pytest.mark.slow
def test_on_replicas_and_micro_batches_they_are_those_of_one(
    begin: Callable[..., tuple[State, Chunk]], small_training: Callable[..., Config], own_module: str
) -> None:
    one, of_one = begin(small_training(**measured(own_module)))
    expected = of_one(4)
    assert list(expected.metrics) == ["accuracy", "top_3", "brier", "margin"]
    many, of_many = begin(small_training(**measured(own_module), train={"micro_batch": 3}), 2)
    actual = of_many(4)
    assert actual.loss == pytest.approx(expected.loss, rel=1e-5)
    assert actual.metrics == pytest.approx(expected.metrics, rel=1e-5)
    for weight, other in zip(many.model.trainable_variables, one.model.trainable_variables, strict=True):
        np.testing.assert_allclose(weight.numpy(), other.numpy(), rtol=0, atol=1e-5)


def test_an_evaluation_gives_their_means_over_the_examples(
    small_training: Callable[..., Config],
    replicas: Callable[[int], Cluster],
    train_rows: Split,
    own_module: str,
) -> None:
    cluster, measures = replicas(2), metrics.in_evaluation(small_training(**measured(own_module)))
    with cluster.strategy.scope():
        model = build("cnn", (28, 28, 1), 10, seed=4)
    logits, labels = model(train_rows.images[:].astype(np.float32)), tf.constant(train_rows.labels, tf.int64)
    best = np.sort(logits, axis=1)
    assert Evaluator(cluster, model, 7, measures)(train_rows) == {
        "loss": pytest.approx(np.mean(focal(logits, labels)), rel=1e-5),
        "accuracy": np.mean(accuracy(logits, labels)),
        "top_3": np.mean(top_k(logits, labels, 3)),
        "brier": pytest.approx(np.mean(brier(logits, labels)), rel=1e-5),
        "margin": pytest.approx(0.5 * np.mean(best[:, -1] - best[:, -2]), rel=1e-5),
        "examples": 100,
    }


def test_a_loss_of_ones_own_is_trained_on(
    begin: Callable[..., tuple[State, Chunk]], small_training: Callable[..., Config], own_module: str
) -> None:
    """Four times the cross-entropy at a quarter of the rate is the cross-entropy."""
    sgd = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.0}
    own = small_training(loss={"name": f"{own_module}:loss", "alpha": 4.0}, optimizer=sgd | {"learning_rate": 0.025})
    (plain, chunk), (scaled, of_own) = begin(small_training(optimizer=sgd)), begin(own)
    assert of_own(3).loss == pytest.approx(4 * chunk(3).loss, rel=1e-5)
    for weight, other in zip(plain.model.trainable_variables, scaled.model.trainable_variables, strict=True):
        np.testing.assert_allclose(weight.numpy(), other.numpy(), rtol=0, atol=1e-6)


def test_what_ships_and_what_is_right_is_accepted(own_module: str) -> None:
    metrics.check(resolve(measured(own_module)), 10)
    metrics.check(resolve({"metrics": {"right": {"name": f"{own_module}:right"}}}), 10)
    metrics.check(resolve({"loss": {"name": "binary"}, "metrics": {"brier": {"name": "brier"}}}), 2)
    metrics.check(resolve({"loss": {"class_weights": [1.0, 0.0]}}), 2)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"loss": {"name": "OWN:one_number"}}, r"loss: .*float32 of shape \(\): .*floats of shape \(11,\)"),
        ({"loss": {"name": "OWN:by_class"}}, r"float32 of shape \(10,\): .*shape \(11,\)"),
        ({"loss": {"name": "OWN:right"}}, r"bool of shape \(11,\): .*floats"),
        ({"loss": {"name": "OWN:constant"}}, "no gradient"),
        ({"loss": {"name": "OWN:text"}}, "a str: it must return a tensor of floats"),
        ({"loss": {"name": "OWN:fails"}}, "fails with KeyError: 'no such thing"),
        ({"loss": {"name": "OWN:loss"}}, "missing 1 required positional argument: 'alpha'"),
        ({"loss": {"name": "OWN:loss", "alpha": 1.0, "beta": 2}}, "unexpected keyword argument 'beta'"),
        ({"loss": {"name": "OWN:number"}}, "is 3, which can't be called"),
        ({"loss": {"name": "OWN:nothing"}}, "has no nothing"),
        ({"loss": {"name": "no_such_module:loss"}}, "loss.name: there is no module no_such_module"),
        ({"metrics": {"mine": {"name": "OWN:words"}}}, r"metrics.mine: .*string of shape \(11,\): .*numbers"),
        ({"metrics": {"mine": {"name": "OWN:one_number"}}}, r"metrics.mine: .*shape \(\)"),
        ({"metrics": {"top": {"name": "top_k", "k": 10}}}, "metrics.top.k: among 10 classes"),
        ({"loss": {"name": "binary"}}, "two classes, and the data have 10"),
        ({"loss": {"class_weights": [1.0, 2.0]}}, "2 weights for 10 classes"),
        ({"loss": {"class_weights": [0.0] * 10}}, "all are 0"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(own_module: str, section: dict[str, Any], words: str) -> None:
    named = json.loads(json.dumps(section).replace("OWN", own_module))
    with pytest.raises(ConfigError, match=words) as refused:
        metrics.check(resolve(named), 10)
    assert "\n" not in str(refused.value)


def test_the_default_is_plain_cross_entropy_and_accuracy() -> None:
    assert Measures() == Measures(cross_entropy, {"accuracy": accuracy})
