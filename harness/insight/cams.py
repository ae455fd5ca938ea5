"""Class activation maps at the last convolutional layer, by tf-keras-vis. The form of the functions: see saliency.py.

A map has that layer's few positions and is stretched to the image by linear interpolation, corner on corner. Below, A^k
is the layer's k-th feature map, and g^k is ∂ logit / ∂ A^k.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tf_keras_vis import ModelVisualization
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
from tf_keras_vis.layercam import Layercam
from tf_keras_vis.scorecam import Scorecam

from harness.insight.chunks import CHUNK, Maps, Score, in_chunks, logit_of
from harness.insight.layers import convolutions

_MASKED_BYTES = 2**28
"""Score-CAM masks each image once for every feature map, all of a chunk at a time, as float64."""


def gradcam(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """Grad-CAM: relu(Σ_k w_k A^k), w_k = mean over positions of g^k.

    Selvaraju et al. 2017, "Grad-CAM" (arXiv 1610.02391), equations 1 and 2.
    """
    return _explained(Gradcam(logits), images, labels)


def gradcam_plus_plus(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """Grad-CAM++: relu(Σ_k w_k A^k), w_k = Σ over positions of α · relu(g^k), where α is proportional to
    (g^k)² / (2 (g^k)² + (g^k)³ Σ A^k) and adds up to 1 over the positions.

    Chattopadhyay et al. 2018, "Grad-CAM++" (arXiv 1710.11063), equations 10 and 19, with the division that their code
    has and the paper has not. Their score is e^logit, which only scales each image's map and can overflow: here it is
    e^(logit - its own value), which is 1.
    """

    def score_of(labels: tf.Tensor) -> Score:
        logit = logit_of(labels)
        return lambda outputs: logit(outputs) - tf.stop_gradient(logit(outputs))

    return _explained(GradcamPlusPlus(logits), images, labels, score_of)


def layercam(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """LayerCAM: relu(Σ_k relu(g^k) · A^k), position by position.

    Jiang et al. 2021, "LayerCAM" (IEEE Transactions on Image Processing 30, 5875), equations 6 to 8.
    """
    return _explained(Layercam(logits), images, labels)


def scorecam(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """Score-CAM: relu(Σ_k p_k A^k), p_k the class's probability for the image times A^k, stretched and scaled to 0..1.

    Wang et al. 2020, "Score-CAM" (arXiv 1910.01279), equations 3 to 7, without the probability of a black image that
    equation 4 takes off. No gradients; a forward pass for each feature map.
    """
    engine = Scorecam(_Quiet(logits.inputs, logits.outputs[0]))
    per_image = 8 * convolutions(logits)[-1].filters * int(np.prod(images.shape[1:]))
    chunk = max(1, min(CHUNK, _MASKED_BYTES // per_image))
    return _explained(engine, images, labels, chunk=chunk)


def _explained(
    engine: ModelVisualization,
    images: NDArray[Any],
    labels: NDArray[Any],
    score_of: Callable[[tf.Tensor], Score] = logit_of,
    chunk: int = CHUNK,
) -> Maps:
    def maps(images: tf.Tensor, labels: tf.Tensor) -> NDArray[Any]:
        result: NDArray[Any] = engine(score_of(labels), images, normalize_cam=False)
        return result

    return in_chunks(maps, images, labels, chunk)


class _Quiet(keras.Model):  # type: ignore[misc]
    """Predicts without Keras's progress bar, which the engine can't switch off."""

    def predict(self, images: list[NDArray[Any]], batch_size: int) -> NDArray[Any]:
        (masked,) = images
        starts = range(0, len(masked), batch_size)
        outputs = [self([masked[start : start + batch_size].astype(np.float32)], training=False) for start in starts]
        return np.concatenate(outputs)
