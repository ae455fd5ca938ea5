"""An estimate of the memory that training takes, from the model's shapes alone."""

import math

import keras
import tensorflow as tf


def estimate_bytes(model: keras.Model, optimizer_slots: float, rows: int) -> int:
    """Bytes per replica for one micro-batch: weights and optimizer slots, each as a variable, before a step and after
    it; gradients; and activations kept and their gradients. The runtime itself and its workspaces come on top, as do
    the training images where they lie on the device.

    Args:
        model: any built model.
        optimizer_slots: arrays of the weights' size that the optimizer (and an average) keeps.
        rows: examples in a micro-batch.
    """
    weights = sum(math.prod(weight.shape) * _size(weight.dtype) for weight in model.weights)
    outputs = [layer.output for layer in model.layers]
    activations = sum(math.prod(output.shape[1:]) * _size(output.dtype) for output in outputs) * rows
    return int(weights * (3 * (1 + optimizer_slots) + 1) + 2 * activations)


def _size(dtype: str) -> int:
    size: int = tf.as_dtype(dtype).size
    return size
