"""All weights of a model as one vector: what travels in one all-reduce, and is updated by a handful of kernels."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


class Packing:
    """How the weights lie in the vector: one behind the other, in the model's order."""

    def __init__(self, weights: Sequence[keras.Variable]) -> None:
        self._shapes = [tuple(weight.shape) for weight in weights]
        self._sizes = [tf.TensorShape(shape).num_elements() for shape in self._shapes]
        self.dtype: str = weights[0].dtype

    @property
    def size(self) -> int:
        return sum(self._sizes)

    def pack(self, tensors: Sequence[Any]) -> tf.Tensor:
        """(size,) from tensors of the weights' shapes."""
        return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)

    def unpack(self, vector: tf.Tensor) -> list[tf.Tensor]:
        """Tensors of the weights' shapes from (size,)."""
        parts = tf.split(vector, self._sizes)
        return [tf.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]
