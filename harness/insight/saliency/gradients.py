"""Saliency maps from the gradient of a logit by the pixels. The form of the functions: see saliency.py."""

from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray
from tf_keras_vis.saliency import Saliency
from tf_keras_vis.utils.model_modifiers import GuidedBackpropagation

from harness.insight.saliency.chunks import Logits, Maps, in_chunks, logit_of

_PIXEL_RANGE = 255.0


def gradient(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """The vanilla gradient: max over channels of |∂ logit / ∂ pixel|, in logits per unit of pixel.

    Simonyan et al. 2013, "Deep Inside Convolutional Networks" (arXiv 1312.6034), section 3.
    """
    return _absolute_gradient(Saliency(_functional(logits)), images, labels)


def gradient_times_input(logits: Logits, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """Signed: Σ over channels of pixel · ∂ logit / ∂ pixel, in logits. The map of a model that is linear in the pixels
    adds up to the logit, less its bias.

    Shrikumar et al. 2016, "Not Just a Black Box" (arXiv 1605.01713), section 3.2.
    """

    return in_chunks(lambda images, labels: _product(logits, images, labels).numpy(), images, labels)


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

        |1/samples · Σ_k ∂ logit / ∂ pixel at (image + N(0, (noise · 255)²))|,  then max over channels

    Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise" (arXiv 1706.03825), section 2. As there, the mean
    is that of the gradients with their signs, in which noise cancels out; the absolute value comes last.
    `noise` is a share of the pixel range (0 to 255), and the noisy copies are not clipped. The k-th copy of
    every image gets the same noise, drawn from (`seed`, k).
    """
    settings = tf.constant(samples), tf.constant(noise * _PIXEL_RANGE, tf.float32), tf.constant(seed)
    return in_chunks(lambda images, labels: _noisy(logits, images, labels, *settings).numpy(), images, labels)


def integrated_gradients(
    logits: Logits, images: NDArray[Any], labels: NDArray[Any], *, baseline: float = 0.0, steps: int = 100
) -> Maps:
    """Integrated gradients, signed, in logits; the sum over channels.

        (pixel - baseline) · ∫₀¹ ∂ logit / ∂ pixel at (baseline + a · (image - baseline)) da

    Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks" (arXiv 1703.01365), equation 1. The integral is
    the midpoint rule over `steps` steps. By their completeness axiom a map adds up to the logit of the image minus that
    of the baseline, an image whose pixels all are `baseline`.
    """

    settings = tf.constant(baseline, tf.float32), tf.constant(steps)
    return in_chunks(lambda images, labels: _integral(logits, images, labels, *settings).numpy(), images, labels)


def guided_backpropagation(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """The gradient in which relus pass on only what is positive, max over channels of its absolute value: a known-bad
    example, since the map hardly depends on the model's upper layers (Adebayo et al. 2018, arXiv 1810.03292).

    Springenberg et al. 2014, "Striving for Simplicity" (arXiv 1412.6806), section 3.4. It is changed where a layer's
    `activation` is relu, not in relu layers of their own.
    """
    return _absolute_gradient(Saliency(_functional(logits), GuidedBackpropagation()), images, labels)


# Compiled once for each model, and not once for each call: the sanity check explains one model many times.


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
def _product(logits: Logits, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(images * _gradient(logits, images, labels), axis=-1)


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
def _noisy(
    logits: Logits, images: tf.Tensor, labels: tf.Tensor, samples: tf.Tensor, deviation: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    total = tf.zeros_like(images)
    for sample in tf.range(samples):
        noise = tf.random.stateless_normal(tf.shape(images)[1:], tf.stack([seed, sample]))
        total += _gradient(logits, images + deviation * noise, labels)
    return tf.reduce_max(tf.abs(total) / tf.cast(samples, tf.float32), axis=-1)


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
def _integral(logits: Logits, images: tf.Tensor, labels: tf.Tensor, baseline: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    total, whole = tf.zeros_like(images), tf.cast(steps, tf.float32)
    for step in tf.range(steps):
        share = (tf.cast(step, tf.float32) + 0.5) / whole
        total += _gradient(logits, baseline + share * (images - baseline), labels)
    return tf.reduce_sum((images - baseline) * total / whole, axis=-1)


def _functional(logits: keras.Model) -> keras.Model:
    # Keras warns at each call where the engine's way of passing the input differs from how the model was built.
    return keras.Model(logits.inputs, logits.outputs[0])


def _absolute_gradient(engine: Saliency, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    def maps(images: tf.Tensor, labels: tf.Tensor) -> NDArray[Any]:
        result: NDArray[Any] = engine(logit_of(labels), images, normalize_map=False)
        return result

    return in_chunks(maps, images, labels)


def _gradient(logits: Logits, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """∂ logit / ∂ pixel, like the images."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        score = logit_of(labels)(logits(images))
    return tape.gradient(score, images)
