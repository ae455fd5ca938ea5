"""Augmentation in training: mixed labels, partners, any number of replicas and micro-batches, resumes, evaluation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import harness
from harness.config import Config
from harness.config.loss import Binary, CrossEntropy, Focal
from harness.data.augment import Augmentation
from harness.data.order import partner_rows, rows
from harness.data.pipeline import Batch
from harness.data.sources import Split
from harness.errors import ConfigError
from harness.training.chunk import Chunk
from harness.training.fused import Fused
from harness.training.losses import loss_of
from harness.training.state import State

MIXING = [{"name": "flip"}, {"name": "mixup", "alpha": 1.0}, {"name": "crop", "padding": 2}, {"name": "cutmix"}]


def dense() -> keras.Model:
    """Smooth, so that rounding makes no jumps of it."""
    pixels = keras.Input((28, 28, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
    return keras.Model(pixels, keras.layers.Dense(10, kernel_initializer=keras.initializers.GlorotUniform(0))(x))


@pytest.fixture(scope="module")
def trained(
    begin: Callable[..., tuple[State, Chunk]], small_training: Callable[..., Config]
) -> Callable[..., tuple[Any, list[Any]]]:
    """What 4 steps of 8 examples, which are mixed, gave and the weights after them."""

    def train(
        count: int = 1, micro_batch: int | None = None, jit: str = "off", placement: str = "host"
    ) -> tuple[Any, list[Any]]:
        config = small_training(
            data={"augment": MIXING, "placement": placement}, train={"micro_batch": micro_batch, "jit": jit}
        )
        state, chunk = begin(config, count, dense)
        assert isinstance(chunk.steps, Fused) is (jit == "on" and count == 1)
        result = chunk(4)
        assert result.steps == 4
        return result, [variable.numpy() for variable in state.model.trainable_variables]

    return train


@pytest.fixture(scope="module")
def expected(trained: Any) -> tuple[Any, list[Any]]:
    return trained()  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {"count": 2, "micro_batch": 3, "placement": "device"},
        {"jit": "on"},
        {"jit": "on", "placement": "device", "micro_batch": 4},
    ],
    ids=str,
)
def test_mixed_examples_train_alike_however_they_are_shared_and_placed(
    trained: Any, expected: Any, given: dict[str, Any]
) -> None:
    result, weights = trained(**given)
    assert result.loss == pytest.approx(expected[0].loss, rel=1e-5)
    assert result.metrics == pytest.approx(expected[0].metrics, rel=1e-5)
    for one, other in zip(expected[1], weights, strict=True):
        assert np.linalg.norm(other - one) <= 1e-5 * np.linalg.norm(one)


def test_a_step_mixes_images_and_labels_with_rows_of_an_order_of_their_own(
    begin: Any, small_training: Any, train_rows: Split
) -> None:
    config = small_training(data={"augment": MIXING}, loss={"label_smoothing": 0.1})
    state, chunk = begin(config, 1, dense)
    positions = tf.range(8, dtype=tf.int64)
    own, other = (of(positions, config.seed, len(train_rows)).numpy() for of in (rows, partner_rows))
    assert not np.array_equal(own, other)
    images, labels = tf.constant(train_rows.images), tf.constant(train_rows.labels, tf.int64)
    given = Batch(tf.gather(images, own), tf.gather(labels, own), tf.ones([8]), positions)
    given = given._replace(partner_images=tf.gather(images, other), partner_labels=tf.gather(labels, other))
    mixed = Augmentation(config.data, config.seed)(given)
    logits = state.model(tf.cast(mixed.images, tf.float32))
    shares = mixed.shares[:, None]
    distribution = shares * tf.one_hot(given.labels, 10) + (1 - shares) * tf.one_hot(given.partner_labels, 10)
    expected = tf.nn.softmax_cross_entropy_with_logits(0.9 * distribution + 0.01, logits)
    right = tf.gather(distribution, tf.argmax(logits, 1), batch_dims=1)
    result = chunk(1)
    assert result.loss == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-5)
    assert result.metrics["accuracy"] == pytest.approx(float(tf.reduce_mean(right)), rel=1e-5)


def test_each_row_is_a_partner_once_in_an_epoch() -> None:
    partners = partner_rows(tf.range(300, dtype=tf.int64), 3, 100).numpy().reshape(3, 100)
    np.testing.assert_array_equal(np.sort(partners), np.tile(np.arange(100), (3, 1)))
    own = rows(tf.range(300, dtype=tf.int64), 3, 100).numpy().reshape(3, 100)
    assert (partners == own).mean() < 0.05
    assert (partners[0] == partners[1]).mean() < 0.1


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(label_smoothing=0.2),
        CrossEntropy(label_smoothing=0.2, class_weights=[1.0, 3.0]),
        Focal(name="focal", gamma=1.5, class_weights=[2.0, 1.0]),
        Binary(name="binary"),
    ],
    ids=str,
)
def test_a_mixed_label_costs_what_its_distribution_does(loss: Any) -> None:
    """-Σ_c w_c t_c f(p_c), written out with t the distribution."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(9, 1 if loss.name == "binary" else 2))
    labels, others, shares = random.integers(0, 2, 9), random.integers(0, 2, 9), random.random(9)
    empty = tf.zeros([0])
    batch = Batch(
        empty, tf.constant(labels), tf.ones([9], tf.float64), empty, empty, tf.constant(others), tf.constant(shares)
    )
    function = loss_of(loss)
    cost = sum(weights * function(tf.constant(logits), labels) for labels, weights in batch.labelled())

    both = np.concatenate([-logits / 2, logits / 2], 1) if loss.name == "binary" else logits
    log_p = both - np.log(np.exp(both).sum(1, keepdims=True))
    target = shares[:, None] * np.eye(2)[labels] + (1 - shares[:, None]) * np.eye(2)[others]
    weight = np.array(getattr(loss, "class_weights", None) or [1.0, 1.0])
    smoothing = getattr(loss, "label_smoothing", 0.0)
    if loss.name == "focal":
        expected = -(weight * target * (1 - np.exp(log_p)) ** loss.gamma * log_p).sum(1)
    else:
        smooth = [
            (1 - smoothing) * np.eye(2)[c] + smoothing / 2 for c in range(2)
        ]  # of each label, weighted by its class
        expected = -sum(weight[c] * target[:, c] * (smooth[c] * log_p).sum(1) for c in range(2))
    np.testing.assert_allclose(cost, expected, rtol=1e-9)


SETTINGS: dict[str, Any] = {
    "quiet": True,
    "only_training": True,
    "train.global_batch": 8,
    "data.validation": 20,
    "schedule.name": "constant",
    "schedule.warmup": "0 steps",
}


def small(shape: tuple[int, int, int], classes: int) -> keras.Model:
    pixels = keras.Input(shape)
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
    return keras.Model(pixels, keras.layers.Dense(classes)(x))


def arrays() -> Any:
    random = np.random.default_rng(0)
    return ((random.integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 3),) * 2


def train(path: Path, **changes: Any) -> harness.RunDir:
    run = harness.train("mnist", path, model=small, data=arrays, **(SETTINGS | changes))
    assert run is not None
    return run


def half_black(images: tf.Tensor, random: Any) -> tf.Tensor:
    return images * tf.cast(random(1)[:, :, None, None] < 0.5, tf.float32)


@pytest.mark.slow
def test_functions_handed_over_train_and_resume_to_the_bit(tmp_path: Path) -> None:
    augment = [lambda *given: half_black(*given), {"name": "flip"}, {"name": "mixup"}]
    whole = train(tmp_path / "whole", augment=augment, **{"train.length": "4 steps"})
    train(tmp_path / "half", augment=augment, **{"train.length": "2 steps"})
    again = train(tmp_path / "half", resume="auto", augment=augment, **{"train.length": "4 steps"})
    digests = [run.read_summary()["weights_sha256"] for run in (whole, again)]
    assert digests[0] == digests[1]
    assert [entry.name for entry in whole.read_config().data.augment[1:]] == ["flip", "mixup"]


@pytest.mark.slow
def test_evaluation_sees_the_images_as_they_are(tmp_path: Path) -> None:
    """At a rate at which no weight moves, training on other pixels leaves the validation as it was."""
    entry = {"name": "brightness", "strength": 1.0}
    losses = {}
    for name, augment in {"plain": [], "augmented": [entry]}.items():
        changes = {"train.length": "1 step", "optimizer": {"name": "sgd", "learning_rate": 1e-30}}
        rows = train(tmp_path / name, augment=augment, **changes).read_metrics()
        losses[name] = {row["split"]: row["loss"] for row in rows}
    assert losses["augmented"]["validation"] == losses["plain"]["validation"]
    assert losses["augmented"]["train"] != losses["plain"]["train"]


def test_what_makes_no_pixels_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.augment\[0\]: .*pixels from 0 to 255"):
        train(tmp_path / "run", augment=[lambda images, random: images / 255])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("augment", [half_black, {"name": "flip"}, "flip"])
def test_one_augmentation_is_not_a_list(tmp_path: Path, augment: Any) -> None:
    with pytest.raises(ConfigError, match="augment: give a list"):
        train(tmp_path / "run", augment=augment)
