"""An estimate of the memory that training takes, from the model's shapes alone."""

import math

import keras


def estimate_bytes(model: keras.Model, optimizer_slots: int, rows: int) -> int:
    """Bytes per replica for one micro-batch: weights, gradients, optimizer slots, and activations kept and their
    gradients. The runtime itself and its workspaces come on top.

    Args:
        model: any built model.
        optimizer_slots: arrays of the weights' size that the optimizer (and an average) keeps.
        rows: examples in a micro-batch.
    """
    element = keras.backend.standardize_dtype(model.inputs[0].dtype)
    size = {"float64": 8, "float32": 4, "bfloat16": 2}[element]
    weights = sum(math.prod(weight.shape) for weight in model.weights) * size
    activations = sum(math.prod(layer.output.shape[1:]) for layer in model.layers) * rows * size
    return int(weights * (2 + optimizer_slots) + 2 * activations)
