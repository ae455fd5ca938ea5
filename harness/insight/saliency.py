"""Saliency maps: how much each pixel matters to one logit.

Every function here has the form `method(logits, images, labels) -> maps`:

    logits  the model, images -> logits (n, classes); a functional one where tf-keras-vis does the work
    images  (n, height, width, channels), any real dtype, in the units the model takes (raw pixels)
    labels  (n,), integers: the logit to explain, image by image
    maps    (n, height, width) float32, not negative and not normalised

and raises `UserError` where the labels do not fit the images. An image's map does not depend on the images
beside it.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.saliency import Saliency

from harness.errors import UserError

Maps = NDArray[np.float32]
Logits = Callable[[tf.Tensor], tf.Tensor]

_CHUNK = 64
"""Images explained at a time: bounds the memory, whatever the number of images."""
_PIXEL_RANGE = 255.0


def gradient(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """The vanilla gradient: max over channels of |∂ logit / ∂ pixel|, in logits per unit of pixel.

    Simonyan et al. 2013, "Deep Inside Convolutional Networks" (arXiv 1312.6034), section 3.
    """
    # Keras warns at each call where the engine's way of passing the input differs from how the model was built.
    engine = Saliency(keras.Model(logits.inputs, logits.outputs[0]))

    def maps(images: tf.Tensor, labels: tf.Tensor) -> NDArray[Any]:
        result: NDArray[Any] = engine(_logit_of(labels), images, normalize_map=False)
        return result

    return _in_chunks(maps, images, labels)


def smoothgrad(
    logits: Logits,
    images: NDArray[Any],
    labels: NDArray[Any],
    *,
    samples: int = 50,
    noise: float = 0.2,
    seed: int = 0,
) -> Maps:
    """SmoothGrad: the mean of the vanilla gradient over noisy copies, in logits per unit of pixel.

        1/samples · Σ_k |∂ logit / ∂ pixel| at (image + N(0, (noise · 255)²)),  then max over channels

    Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise" (arXiv 1706.03825), section 2. As there,
    `noise` is a share of the pixel range (0 to 255), and the noisy copies are not clipped. The k-th copy of
    every image gets the same noise, drawn from (`seed`, k).
    """
    deviation = tf.constant(noise * _PIXEL_RANGE, tf.float32)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def mean_gradient(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        total = tf.zeros_like(images)
        for sample in tf.range(samples):
            noisy = images + deviation * tf.random.stateless_normal(images.shape[1:], [seed, sample])
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(noisy)
                score = _logit_of(labels)(logits(noisy))
            total += tf.abs(tape.gradient(score, noisy))
        return tf.reduce_max(total / samples, axis=-1)

    return _in_chunks(lambda images, labels: mean_gradient(images, labels).numpy(), images, labels)


def gradcam(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """Grad-CAM at the last convolutional layer: where its feature maps speak for the logit.

        relu(Σ_k w_k A^k),  w_k = mean over positions of ∂ logit / ∂ A^k

    Selvaraju et al. 2017, "Grad-CAM" (arXiv 1610.02391), equations 1 and 2. The map has that layer's few
    positions and is stretched to the image by linear interpolation, corner on corner.
    """
    engine = Gradcam(logits)

    def maps(images: tf.Tensor, labels: tf.Tensor) -> NDArray[Any]:
        result: NDArray[Any] = engine(_logit_of(labels), images, normalize_cam=False)
        return result

    return _in_chunks(maps, images, labels)


METHODS: dict[str, Callable[[keras.Model, NDArray[Any], NDArray[Any]], Maps]] = {
    "gradient": gradient,
    "smoothgrad": smoothgrad,
    "gradcam": gradcam,
}
"""By the names of the config key `insight.methods`."""


def _logit_of(labels: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda outputs: tf.gather(outputs, labels, batch_dims=1)


def _in_chunks(
    method: Callable[[tf.Tensor, tf.Tensor], NDArray[Any]], images: NDArray[Any], labels: NDArray[Any]
) -> Maps:
    if images.ndim != 4:
        raise UserError(f"images of shape {images.shape}: give (n, height, width, channels)")
    if labels.shape != images.shape[:1]:
        raise UserError(f"labels of shape {labels.shape} for {len(images)} images: give one label an image")
    maps = np.zeros(images.shape[:3], np.float32)
    for start in range(0, len(images), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        maps[chunk] = method(tf.constant(images[chunk], tf.float32), tf.constant(labels[chunk], tf.int32))
    return maps
