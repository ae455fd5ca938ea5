"""Class activation maps at a convolutional layer, the last one unless `layer` names another, by tf-keras-vis.

Below, A^k is the layer's k-th feature map, after its activation, also where that is a layer of its own
(`layers.features`), and g^k is ∂ logit / ∂ A^k. A map has the few positions of A^k and is stretched to the image by
linear interpolation, corner on corner.
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

from harness.insight.layers import convolution, features
from harness.insight.saliency.chunks import CHUNK, Maps, Score, in_chunks, logit_of

_MASKED_BYTES = 2**28
"""Score-CAM masks each image once for every feature map, all of a chunk at a time, and as many to make them of."""


def gradcam(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], *, layer: str | None = None) -> Maps:
    """Grad-CAM: relu(Σ_k w_k A^k), w_k = mean over positions of g^k.

    Selvaraju et al. 2017, "Grad-CAM" (arXiv 1610.02391), equations 1 and 2.
    """
    return _explained(logits, Gradcam(logits), layer, images, labels)


def gradcam_plus_plus(
    logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], *, layer: str | None = None
) -> Maps:
    """Grad-CAM++: relu(Σ_k w_k A^k), w_k = Σ over positions of α · relu(g^k), where α is proportional to
    (g^k)² / (2 (g^k)² + (g^k)³ Σ A^k) and adds up to 1 over the positions.

    Chattopadhyay et al. 2018, "Grad-CAM++" (arXiv 1710.11063), equations 10 and 19, with the division that their code
    has and the paper has not. Their score is e^logit, which only scales each image's map and can overflow: here it is
    e^(logit - its own value), which is 1.
    """

    def score_of(labels: tf.Tensor) -> Score:
        logit = logit_of(labels)
        return lambda outputs: logit(outputs) - tf.stop_gradient(logit(outputs))

    return _explained(logits, GradcamPlusPlus(logits), layer, images, labels, score_of)


def layercam(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], *, layer: str | None = None) -> Maps:
    """LayerCAM: relu(Σ_k relu(g^k) · A^k), position by position.

    Jiang et al. 2021, "LayerCAM" (IEEE Transactions on Image Processing 30, 5875), equations 6 to 8.
    """
    return _explained(logits, Layercam(logits), layer, images, labels)


def scorecam(logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], *, layer: str | None = None) -> Maps:
    """Score-CAM: relu(Σ_k p_k A^k), p_k the class's probability for the image times A^k, stretched and scaled to 0..1.

    Wang et al. 2020, "Score-CAM" (arXiv 1910.01279), equations 3 to 7, without the probability of a black image that
    equation 4 takes off. No gradients; a forward pass for each feature map.
    """
    engine = Scorecam(_Quiet(logits))
    per_image = 8 * convolution(logits, layer).filters * int(np.prod(images.shape[1:]))
    chunk = max(1, min(CHUNK, _MASKED_BYTES // per_image))
    return _explained(logits, engine, layer, images, labels, chunk=chunk)


def _explained(
    logits: keras.Model,
    engine: ModelVisualization,
    layer: str | None,
    images: NDArray[Any],
    labels: NDArray[Any],
    score_of: Callable[[tf.Tensor], Score] = logit_of,
    chunk: int = CHUNK,
) -> Maps:
    name = features(logits, convolution(logits, layer)).name

    def maps(images: tf.Tensor, labels: tf.Tensor) -> NDArray[Any]:
        result: NDArray[Any] = engine(
            score_of(labels),
            images,
            penultimate_layer=name,
            seek_penultimate_conv_layer=False,  # it would go back from an activation layer to the convolution
            normalize_cam=False,
        )
        return result

    return in_chunks(logits, maps, images, labels, chunk)


class _Quiet(keras.Model):  # type: ignore[misc]
    """Predicts without Keras's progress bar, which the engine can't switch off, and in the model's compiled function,
    which a copy of the model would have to compile anew."""

    def __init__(self, logits: keras.Model) -> None:
        super().__init__(logits.inputs, logits.outputs[0])
        self.logits = logits

    def predict(self, images: list[NDArray[Any]], batch_size: int) -> NDArray[Any]:
        (masked,) = images
        starts = range(0, len(masked), batch_size)
        outputs = [
            self.logits.predict_on_batch(masked[start : start + batch_size].astype(np.float32)) for start in starts
        ]
        return np.concatenate(outputs)
