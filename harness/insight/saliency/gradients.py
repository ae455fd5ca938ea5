"""Saliency maps from the gradient of a logit by the pixels. The form of the functions: see the package."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.errors import UserError
from harness.insight.inference import infer
from harness.insight.saliency.chunks import Logits, Maps, Score, in_chunks, logit_of
from harness.insight.saliency.engines import gradient_sizes
from harness.insight.saliency.guided import guided

_COMPLETE = 0.01
"""By how much integrated gradients may miss what the logit gains, as a share of it."""
_LEAST_GAIN = 0.1
"""In logits: what gains less is held to the share of this, since there the terms cancel out."""
_MOST_STEPS = 2700


def gradient(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """The vanilla gradient: max over channels of |∂ logit / ∂ pixel|, in logits per unit of pixel.

    Simonyan et al. 2013, "Deep Inside Convolutional Networks" (arXiv 1312.6034), section 3.
    """
    return in_chunks(logits, lambda images, labels: _absolute(logits, images, labels).numpy(), images, labels)


def gradient_times_input(logits: Logits, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """Signed: Σ over channels of pixel · ∂ logit / ∂ pixel, in logits. The map of a model that is linear in the pixels
    adds up to the logit, less its bias.

    Shrikumar et al. 2016, "Not Just a Black Box" (arXiv 1605.01713), section 3.2.
    """

    return in_chunks(logits, lambda images, labels: _product(logits, images, labels).numpy(), images, labels)


def smoothgrad(
    logits: Logits,
    images: NDArray[Any],
    labels: NDArray[Any],
    *,
    samples: int = 50,
    noise: float = 0.2,
    seed: int = 0,
) -> Maps:
    """SmoothGrad: the size of the mean gradient over noisy copies, in logits per unit of pixel.

        |1/samples · Σ_k ∂ logit / ∂ pixel at (image + N(0, (noise · range)²))|,  then max over channels

    Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise" (arXiv 1706.03825), section 2. As there, the mean
    is that of the gradients with their signs, in which noise cancels out; the absolute value comes last.
    `noise` is a share of the image's own range, its largest less its least value, and the noisy copies are not clipped.
    The k-th copy of every image gets the same noise, drawn from (`seed`, k).
    """
    settings = tf.constant(samples), tf.constant(noise, tf.float32), tf.constant(seed)
    return in_chunks(logits, lambda images, labels: _noisy(logits, images, labels, *settings).numpy(), images, labels)


def integrated_gradients(
    logits: Logits, images: NDArray[Any], labels: NDArray[Any], *, baseline: float = 0.0, steps: int = 100
) -> Maps:
    """Integrated gradients, signed, in logits; the sum over channels.

        (pixel - baseline) · ∫₀¹ ∂ logit / ∂ pixel at (baseline + a · (image - baseline)) da

    Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks" (arXiv 1703.01365), equation 1. By their
    completeness axiom a map adds up to the logit of the image minus that of the baseline, an image whose pixels all are
    `baseline`. The integral is the midpoint rule over `steps` steps, three times as many again for an image whose map
    doesn't add up within 1 % (of 0.1 logits where the difference is less), while there are fewer than 2,700.
    """

    def maps(images: tf.Tensor, labels: tf.Tensor) -> Maps:
        classes = _output(logits, images).shape[1]
        return _integrated(logits, images, tf.one_hot(labels, classes), baseline, steps)

    return in_chunks(logits, maps, images, labels)


def contrast(
    logits: Logits, images: NDArray[Any], labels: NDArray[Any], *, baseline: float = 0.0, steps: int = 100
) -> Maps:
    """What speaks for the label rather than for its strongest rival: integrated gradients of the difference of the two
    logits, signed.

    The rival is the class with the largest other logit, of the image as it is. Shrikumar et al. 2017, "Learning
    Important Features Through Propagating Activation Differences" (arXiv 1704.02685), section 4.1, share out such a
    difference; by integrated gradients the map adds up to what it gains on the way from the baseline, within 1 % of
    what the two logits do. Raises UserError where there is one class only.
    """

    def maps(images: tf.Tensor, labels: tf.Tensor) -> Maps:
        outputs = _output(logits, images)
        classes = outputs.shape[1]
        if classes < 2:
            raise UserError("the model has one logit: there is no other class to contrast it with")
        own = tf.one_hot(labels, classes)
        runners_up = tf.argmax(tf.where(own > 0, outputs.dtype.min, outputs), axis=1)
        return _integrated(logits, images, own - tf.one_hot(runners_up, classes), baseline, steps)

    return in_chunks(logits, maps, images, labels)


def _integrated(logits: Logits, images: tf.Tensor, weights: tf.Tensor, baseline: float, steps: int) -> Maps:
    """The integrated gradients of the sum of the logits, each times its weight, (n, classes)."""
    start = tf.constant(baseline, tf.float32)
    by_class = weights.numpy() * _gain(logits, images, start).numpy()
    gains, sizes = by_class.sum(axis=1), np.abs(by_class).sum(axis=1)
    path, total = (images - baseline).numpy(), np.zeros(images.shape, np.float32)
    result = np.zeros(images.shape[:3], np.float32)
    left, count, shares = np.arange(len(gains)), steps, _midpoints(steps)
    while True:
        some = tf.gather(images, left), tf.gather(weights, left)
        total[left] += _sum_along(logits, *some, start, tf.constant(shares, tf.float32)).numpy()
        result[left] = (path[left] * total[left] / count).sum(axis=-1)
        missed = np.abs(result[left].sum(axis=(1, 2)) - gains[left])
        left = left[missed > _COMPLETE * np.maximum(sizes[left], _LEAST_GAIN)]
        if not len(left) or count >= _MOST_STEPS:
            return result
        count *= 3
        shares = np.delete(_midpoints(count), np.s_[1::3])  # those are summed up already


def _midpoints(steps: int) -> NDArray[np.float64]:
    """Of as many equal parts of 0 to 1."""
    return (np.arange(steps) + 0.5) / steps


def guided_backpropagation(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """The gradient in which relus pass on only what is positive, max over channels of its absolute value: a known-bad
    example, since the map hardly depends on the model's upper layers (Adebayo et al. 2018, arXiv 1810.03292).

    Springenberg et al. 2014, "Striving for Simplicity" (arXiv 1412.6806), section 3.4. Raises UserError where the model
    has no relu.
    """
    copy = guided(_functional(logits))
    return in_chunks(logits, lambda images, labels: _largest_sizes(copy, images, labels).numpy(), images, labels)


# Compiled once for each model, and not once for each call: the sanity check explains one model many times.


@tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
def _absolute(logits: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return _largest_sizes(_functional(logits), images, labels)


@tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
def _product(logits: Logits, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(images * _gradient(logits, images, logit_of(labels)), axis=-1)


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
def _noisy(
    logits: Logits, images: tf.Tensor, labels: tf.Tensor, samples: tf.Tensor, share: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    total, pixels = tf.zeros_like(images), (1, 2, 3)
    deviation = share * (tf.reduce_max(images, pixels, keepdims=True) - tf.reduce_min(images, pixels, keepdims=True))
    for sample in tf.range(samples):
        noise = tf.random.stateless_normal(tf.shape(images)[1:], tf.stack([seed, sample]))
        total += _gradient(logits, images + deviation * noise, logit_of(labels))
    return tf.reduce_max(tf.abs(total) / tf.cast(samples, tf.float32), axis=-1)


@tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
def _output(logits: Logits, images: tf.Tensor) -> tf.Tensor:
    return infer(logits, images)


@tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
def _gain(logits: Logits, images: tf.Tensor, baseline: tf.Tensor) -> tf.Tensor:
    """(n, classes)"""
    return infer(logits, images) - infer(logits, tf.fill(tf.shape(images), baseline))


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
def _sum_along(
    logits: Logits, images: tf.Tensor, weights: tf.Tensor, baseline: tf.Tensor, shares: tf.Tensor
) -> tf.Tensor:
    """The sum of the gradients at these shares of the way from the baseline to the images, like the images."""
    total = tf.zeros_like(images)
    for share in shares:
        total += _gradient(logits, baseline + share * (images - baseline), _weighed(weights))
    return total


def _weighed(weights: tf.Tensor) -> Score:
    return lambda outputs: tf.reduce_sum(weights * outputs, axis=1)


def _functional(logits: keras.Model) -> keras.Model:
    # Keras warns at each call where the engine's way of passing the input differs from how the model was built.
    return keras.Model(logits.inputs, logits.outputs[0])


def _largest_sizes(model: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Of the gradient, max over channels."""
    return tf.reduce_max(gradient_sizes(model, images, labels), axis=-1)


@tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
def _gradient(logits: Logits, images: tf.Tensor, score: Score) -> tf.Tensor:
    """∂ score / ∂ pixel, like the images."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        of_images = score(infer(logits, images))
    return tape.gradient(of_images, images)
