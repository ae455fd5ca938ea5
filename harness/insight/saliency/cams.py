"""Class activation maps: the feature maps of a layer, each weighed by what it does for a logit, and summed up.

Below, A^k is the k-th feature map of the layer that `layers.cam_layer` takes, g^k is ∂ logit / ∂ A^k, and a cell is a
position of A^k. A map has a value for each cell (`cam_cells`), zero for those that the logits can't depend on. On the
image, where the methods give it, these values stand at the centres of the cells' receptive fields: see `grid`.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.inference import infer
from harness.insight.layers import cam_layer
from harness.insight.saliency.chunks import Maps, in_chunks, logit_of
from harness.insight.saliency.engines import gradcam_cells, layercam_cells
from harness.insight.saliency.grid import CamGrid, cam_grid
from harness.models.logits import link


def gradcam(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], *, layer: str | None = None) -> Maps:
    """Grad-CAM: relu(Σ_k w_k A^k), w_k = mean over cells of g^k.

    Selvaraju et al. 2017, "Grad-CAM" (arXiv 1610.02391), equations 1 and 2.
    """
    return _on_pixels("gradcam", logits, images, labels, layer)


def gradcam_plus_plus(
    logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], *, layer: str | None = None
) -> Maps:
    """Grad-CAM++: relu(Σ_k w_k A^k), w_k = Σ over cells of α · relu(g^k), where α is proportional to
    (g^k)² / (2 (g^k)² + (g^k)³ Σ A^k) and adds up to 1 over the cells where g^k is positive.

    Chattopadhyay et al. 2018, "Grad-CAM++" (arXiv 1710.11063), equations 10 and 19, with the division that the paper
    has not but the authors' code has (adityac94/Grad_CAM_plus_plus, misc/utils.py, since May 2018). Their score is
    e^logit, which only scales each image's map and can overflow: here its value is taken for 1.
    """
    return _on_pixels("gradcam_plus_plus", logits, images, labels, layer)


def layercam(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], *, layer: str | None = None) -> Maps:
    """LayerCAM: relu(Σ_k relu(g^k) · A^k), cell by cell.

    Jiang et al. 2021, "LayerCAM" (IEEE Transactions on Image Processing 30, 5875), equations 6 to 8.
    """
    return _on_pixels("layercam", logits, images, labels, layer)


def scorecam(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], *, layer: str | None = None) -> Maps:
    """Score-CAM: relu(Σ_k p_k A^k), p_k the class's probability for the image times A^k, placed on it as the map is and
    scaled to 0..1.

    Wang et al. 2020, "Score-CAM" (arXiv 1910.01279), equations 3 to 7, without the probability of a black image that
    equation 4 takes off. No gradients; a forward pass for each feature map.
    """
    return _on_pixels("scorecam", logits, images, labels, layer)


def ablationcam(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], *, layer: str | None = None) -> Maps:
    """Ablation-CAM: relu(Σ_k w_k A^k), w_k = (y - y_k) / |y|, where y is the logit and y_k what it is with A^k zero.

    Ramaswamy and Desai 2020, "Ablation-CAM" (IEEE WACV, 972), equations 5 and 6. They divide by y, which would turn
    the map round where the logit is negative; the size only scales each image's map. No gradients; a pass from the
    layer to the logits for each feature map.
    """
    return _on_pixels("ablationcam", logits, images, labels, layer)


def cam_cells(
    method: str, logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], *, layer: str | None = None
) -> Maps:
    """The map of a CAM method, by its name in METHODS, at the layer's own resolution: (n, rows, columns) float32.

    Where the cells lie, and which can matter, says `cam_grid`. Raises UserError as the methods do.
    """
    grid, cells = cam_grid(logits, layer), _CELLS[method]

    def of_some(images: tf.Tensor, labels: tf.Tensor) -> Maps:
        return cells(logits, grid, images, labels) * grid.reaching

    return in_chunks(logits, of_some, images, labels, shape=grid.shape)


def _on_pixels(method: str, logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], layer: str | None) -> Maps:
    return cam_grid(logits, layer).on_pixels(cam_cells(method, logits, images, labels, layer=layer))


# Compiled once for each model and layer, and not once for each call: the sanity check explains one model many times.


@tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
def _alpha_weighed(logits: keras.Model, layer: str, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        outputs, features = infer(_with_features(logits, layer), images)
        score = logit_of(labels)(outputs)
    gradient = tape.gradient(score, features)
    below = 2 * gradient**2 + gradient**3 * tf.reduce_sum(features, (1, 2), keepdims=True)
    alpha = gradient**2 / tf.where(below == 0, 1.0, below)  # by 1 in place of 0 as the authors, and again below
    positive = tf.reduce_sum(tf.where(gradient > 0, alpha, 0.0), (1, 2), keepdims=True)
    alpha /= tf.where(positive == 0, 1.0, positive)
    weights = tf.reduce_sum(alpha * tf.nn.relu(gradient), (1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * features, axis=-1))


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
def _score_weighed(
    logits: keras.Model, layer: str, images: tf.Tensor, labels: tf.Tensor, down: tf.Tensor, across: tf.Tensor
) -> tf.Tensor:
    _, features = infer(_with_features(logits, layer), images)
    is_seen = tf.logical_and(tf.reduce_any(down > 0, axis=1)[:, tf.newaxis], tf.reduce_any(across > 0, axis=1))
    total = tf.zeros(tf.shape(features)[:3])
    for index in tf.range(tf.shape(features)[3]):
        feature = tf.gather(features, index, axis=3)
        placed = tf.einsum("pr,nrc,qc->npq", down, feature, across)
        least = tf.reduce_min(tf.where(is_seen, placed, np.inf), (1, 2), keepdims=True)
        span = tf.reduce_max(tf.where(is_seen, placed, -np.inf), (1, 2), keepdims=True) - least
        mask = tf.math.divide_no_nan(tf.where(is_seen, placed - least, 0.0), span)
        probabilities = link(logits)(infer(logits, images * mask[..., tf.newaxis]))
        total += logit_of(labels)(probabilities)[:, tf.newaxis, tf.newaxis] * feature
    return tf.nn.relu(total)


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
def _ablation_weighed(logits: keras.Model, layer: str, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    outputs, features = infer(_with_features(logits, layer), images)
    after_layer = keras.Model([logits.inputs[0], cam_layer(logits, layer).output], logits.outputs[0])
    logit, total = logit_of(labels)(outputs), tf.zeros(tf.shape(features)[:3])
    for index in tf.range(tf.shape(features)[3]):
        without = features * (1 - tf.one_hot(index, tf.shape(features)[3]))
        drop = logit - logit_of(labels)(infer(after_layer, [images, without]))
        total += drop[:, tf.newaxis, tf.newaxis] * tf.gather(features, index, axis=3)
    size = tf.abs(logit)[:, tf.newaxis, tf.newaxis]
    return tf.nn.relu(total / tf.where(size == 0, 1.0, size))


def _with_features(logits: keras.Model, layer: str) -> keras.Model:
    return keras.Model(logits.inputs[0], [logits.outputs[0], cam_layer(logits, layer).output])


_Cells = Callable[[keras.Model, CamGrid, tf.Tensor, tf.Tensor], Maps]
_CELLS: dict[str, _Cells] = {
    "gradcam": lambda logits, grid, *given: gradcam_cells(logits, cam_layer(logits, grid.layer).output, *given),
    "gradcam_plus_plus": lambda logits, grid, *given: _alpha_weighed(logits, grid.layer, *given).numpy(),
    "layercam": lambda logits, grid, *given: layercam_cells(logits, cam_layer(logits, grid.layer).output, *given),
    "scorecam": lambda logits, grid, *given: _score_weighed(
        logits, grid.layer, *given, *map(tf.constant, grid.weights())
    ).numpy(),
    "ablationcam": lambda logits, grid, *given: _ablation_weighed(logits, grid.layer, *given).numpy(),
}
