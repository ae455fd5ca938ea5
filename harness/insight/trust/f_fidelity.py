"""Does a map say which pixels matter, to a model that has learnt to do without some? Fine-tuned fidelity.

Zheng et al. 2024, "F-Fidelity: A Robust Framework for Faithfulness Evaluation of Explainable AI" (arXiv 2410.02970).
The model is fine-tuned on images with pixels missing at random, whatever a map says, so that images with as few pixels
missing are nothing new to it; then a few pixels, never more than those, are removed at random among those that a map
calls important, or among the others.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.inference import infer
from harness.insight.saliency import Maps
from harness.insight.trust.faithfulness import ranks
from harness.insight.trust.forward import predict, probability
from harness.insight.trust.redraw import weights_restored

MOST = 0.1
"""The paper's β: the largest share of an image's pixels that is ever missing."""
PART = 0.5
"""The paper's α⁺ and α⁻: the share of the important pixels, or of the others, that is removed where β allows it."""
SIZES = (0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95)
"""The paper's s: the share of the pixels that counts as important."""
SAMPLES = 5
"""Draws of the removed pixels for each size."""
STEPS = 200
BATCH = 64
_LEARNING_RATE = 1e-4


class FFidelity(NamedTuple):
    """What the label's probability loses, of the fine-tuned model; means over sizes and draws, (n,)."""

    important: NDArray[np.float64]
    """FFid⁺, by pixels among the important ones: higher is better."""
    others: NDArray[np.float64]
    """FFid⁻, by pixels among the others: lower is better."""


def f_fidelity(
    logits: keras.Model,
    maps: Mapping[str, Maps],
    images: NDArray[Any],
    labels: NDArray[Any],
    training: tuple[Any, NDArray[Any]],
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> dict[str, FFidelity]:
    """By method, FFid⁺ and FFid⁻:

        FFid⁺ = E[f(x) - f(x without min(α⁺ s, β) of its pixels, drawn from the s most important ones)]
        FFid⁻ = E[f(x) - f(x without min(α⁻ (1 - s), β) of its pixels, drawn from the 1 - s others)]

    f is the fine-tuned model's probability of the label (the paper counts right answers, which needs more images), and
    a pixel that is removed is black. Fine-tuning takes `steps` steps of Adam at a rate of 1e-4 with 64 training images
    each, of which a share of pixels uniform from 0 to β is black. Batch normalization keeps its statistics, and nothing
    is dropped. The draws are the same for all methods.

    Args:
        logits: functional; fine-tuned in place, and its weights are put back, whatever happens.
        maps: by method, (n, height, width) each.
        images: (n, height, width, channels) pixels.
        labels: (n,), what the model predicts.
        training: images (m, height, width, channels) and their true labels (m,).
    """
    orders = {name: ranks(of, seed) for name, of in maps.items()}
    with weights_restored(logits):
        _fine_tune(logits, *training, steps=steps, seed=seed)
        whole = probability(logits, predict(logits, lambda numbers: images[numbers], len(images)), labels)
        return {
            name: FFidelity(
                whole - _mean_without(logits, images, labels, order, seed),
                whole - _mean_without(logits, images, labels, order[0].size - 1 - order, seed),
            )
            for name, order in orders.items()
        }


def removed(order: NDArray[np.intp], size: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Which pixels go, (height, width): min(PART · size, MOST) of all, drawn from the `size` that come first."""
    important = np.flatnonzero(order.reshape(-1) < round(size * order.size))
    gone = np.zeros(order.size, np.bool_)
    gone[random.permutation(important)[: round(min(PART * size, MOST) * order.size)]] = True
    return gone.reshape(order.shape)


def _mean_without(
    logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], order: NDArray[np.intp], seed: int
) -> NDArray[np.float64]:
    each = len(SIZES) * SAMPLES

    def without(number: int) -> NDArray[Any]:
        of, draw = divmod(number, each)
        gone = removed(order[of], SIZES[draw // SAMPLES], np.random.default_rng((seed, of, draw)))
        return np.where(gone[..., np.newaxis], 0, images[of])

    outputs = predict(logits, lambda numbers: np.stack([without(int(n)) for n in numbers]), len(images) * each)
    values = probability(logits, outputs, np.repeat(labels, each)).reshape(len(images), each)
    return np.asarray(values.mean(axis=1), np.float64)


def _fine_tune(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], *, steps: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    optimizer = keras.optimizers.Adam(_LEARNING_RATE)
    optimizer.build(logits.trainable_variables)
    for _ in range(steps):
        rows = random.integers(0, len(images), BATCH)
        shares = random.uniform(0, MOST, (BATCH, 1, 1, 1))
        kept = random.random((BATCH, *images.shape[1:3], 1)) >= shares
        _step(logits, optimizer, tf.constant(images[rows] * kept, tf.float32), tf.constant(labels[rows], tf.int32))


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
def _step(logits: keras.Model, optimizer: keras.Optimizer, images: tf.Tensor, labels: tf.Tensor) -> None:
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, infer(logits, images))
        loss = tf.reduce_mean(losses)
    optimizer.apply(tape.gradient(loss, logits.trainable_variables), logits.trainable_variables)
