"""The one way to call a model for looking into it."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


@tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
def infer(model: Callable[[tf.Tensor], Any], images: tf.Tensor) -> Any:
    """What a model gives for images as in `predict`, and its weights stay as they are.

    Layers that augment or drop at random pass on what they get, and batch normalization takes its moving statistics and
    leaves them. Keras's random layers do so only where they are told: their `training` is True unless somebody says
    otherwise. A callable that is no Keras model is called as it is. Nothing is translated by AutoGraph, which takes
    longer than tracing does: Keras's own `predict` doesn't either.
    """
    return model(images, training=False) if isinstance(model, keras.Layer) else model(images)
