"""tf-keras-vis 0.8.7, called so that what it gives is raw, in its own resolution, and of a logit image by image."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.layercam import Layercam
from tf_keras_vis.saliency import Saliency

from harness.insight.saliency.chunks import Maps, logit_of


def gradient_sizes(model: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """|∂ logit / ∂ pixel|, like the images."""
    return Saliency(model)(logit_of(labels), images, keepdims=True, normalize_map=False)


def gradcam_cells(logits: keras.Model, features: keras.KerasTensor, images: tf.Tensor, labels: tf.Tensor) -> Maps:
    """Grad-CAM of feature maps of the model, (n, rows, columns)."""
    return _cells(Gradcam(logits), features, images, labels)


def layercam_cells(logits: keras.Model, features: keras.KerasTensor, images: tf.Tensor, labels: tf.Tensor) -> Maps:
    """LayerCAM of feature maps of the model, (n, rows, columns)."""
    return _cells(Layercam(logits), features, images, labels)


def _cells(engine: Gradcam, features: keras.KerasTensor, images: tf.Tensor, labels: tf.Tensor) -> Maps:
    found: NDArray[Any] = engine(
        logit_of(labels),
        images,
        penultimate_layer=_Output(features),
        seek_penultimate_conv_layer=False,  # it would go back from an activation layer to the convolution
        expand_cam=False,
        normalize_cam=False,
    )
    return np.asarray(found, np.float32)


class _Output(keras.layers.Layer):  # type: ignore[misc]
    """A layer whose output is the tensor: the engines ask for a layer, and an `x + y` is not one."""

    def __init__(self, tensor: keras.KerasTensor) -> None:
        super().__init__()
        self._tensor = tensor

    @property
    def output(self) -> keras.KerasTensor:
        return self._tensor
