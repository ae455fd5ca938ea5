"""Which pixels a unit of a convolutional layer sees: worked out backwards, from the layers' windows and strides."""

from typing import NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from harness.insight.layers import image_shape

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_POOLINGS = (layers.MaxPooling2D, layers.AveragePooling2D)
_POINTWISE = (
    layers.Activation, layers.Add, layers.Average, layers.Dropout, layers.ELU, layers.GaussianDropout,
    layers.GaussianNoise, layers.Identity, layers.LeakyReLU, layers.Maximum, layers.Minimum, layers.Multiply,
    layers.Normalization, layers.PReLU, layers.ReLU, layers.Rescaling, layers.SpatialDropout2D, layers.Subtract,
)  # fmt: skip
_POINTWISE_OPERATIONS = ("Add", "Divide", "Maximum", "Minimum", "Multiply", "Relu", "Sigmoid", "Silu", "Subtract")
"""Class names of what `x + y` and keras.ops make of a symbolic tensor: the classes themselves aren't public."""


class ReceptiveFields(NamedTuple):
    """Of all units of one layer: a field's rows depend on the unit's row alone, its columns on its column."""

    rows: NDArray[np.int64]
    """(height of the feature maps, 2): the first row of the image that is seen, and the one after the last."""
    columns: NDArray[np.int64]
    """(width of the feature maps, 2)"""

    def of(self, row: int, column: int) -> tuple[slice, slice]:
        """The rows and columns of the image that the unit sees."""
        return slice(*self.rows[row].tolist()), slice(*self.columns[column].tolist())

    def middle(self) -> tuple[slice, slice]:
        """Of the unit that `layers.centre_unit` takes."""
        return self.of(len(self.rows) // 2, len(self.columns) // 2)


def receptive_fields(model: keras.Model, layer: str) -> ReceptiveFields:
    """The pixels that each unit of a convolutional layer can depend on, cut off at the image's border.

    For a window of k rows (dilation d, stride s, p rows of padding before the first) the output rows a to b come
    from the input rows a·s - p to b·s - p + (k - 1)·d; from layer to layer down to the pixels, and where branches
    meet, all that any of them sees (Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural
    Networks", Distill). Through a layer whose window isn't known, or which is called more than once, the whole image is
    taken to be seen.

    Raises:
        UserError: the model takes images of any size.
    """
    image_shape(model)
    part = keras.Model(model.inputs, model.get_layer(layer).output)
    return ReceptiveFields(_seen(part, 0), _seen(part, 1))


def _seen(part: keras.Model, axis: int) -> NDArray[np.int64]:
    """(units, 2) first and after last along one axis (0 rows, 1 columns) of what the output's units see."""
    units = np.arange(part.outputs[0].shape[1 + axis])
    if _calls_a_layer_again(part):
        return np.tile([0, part.inputs[0].shape[1 + axis]], (len(units), 1))
    seen = {id(part.outputs[0]): np.stack([units, units], axis=1)}
    for operation in reversed(part.operations):
        if isinstance(operation, layers.InputLayer):
            continue
        above = [seen[id(tensor)] for tensor in keras.tree.flatten(operation.output) if id(tensor) in seen]
        for tensor in keras.tree.flatten(operation.input):
            window = _before(operation, axis, _union(above))
            last = tensor.shape[1 + axis] - 1 if len(tensor.shape) == 4 else 0
            seen[id(tensor)] = _union([np.clip(window, 0, last), *([seen[id(tensor)]] if id(tensor) in seen else [])])
    return seen[id(part.inputs[0])] + [0, 1]


def _calls_a_layer_again(part: keras.Model) -> bool:
    """Whether some tensor comes from another call than the first, the only one that an operation tells."""
    told = {id(tensor) for operation in part.operations for tensor in keras.tree.flatten(operation.output)}
    taken = [operation.input for operation in part.operations if not isinstance(operation, layers.InputLayer)]
    return not {id(tensor) for tensor in keras.tree.flatten([taken, part.outputs])} <= told


def _union(intervals: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.stack(
        [np.min([one[:, 0] for one in intervals], axis=0), np.max([one[:, 1] for one in intervals], axis=0)], axis=1
    )


def _before(operation: keras.Operation, axis: int, units: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first and the last position of the input that an operation makes the positions `units`, (n, 2), from."""
    if isinstance(operation, _CONVOLUTIONS):
        size = operation.kernel_size[axis], operation.strides[axis], operation.dilation_rate[axis]
        return _window(operation, axis, units, *size)
    if isinstance(operation, _POOLINGS):
        return _window(operation, axis, units, operation.pool_size[axis], operation.strides[axis], 1)
    if isinstance(operation, layers.ZeroPadding2D):
        return units - int(operation.padding[axis][0])
    if isinstance(operation, layers.Cropping2D):
        return units + int(operation.cropping[axis][0])
    if _is_pointwise(operation):
        return units
    return np.full(units.shape, [0, np.iinfo(np.int64).max], np.int64)


def _window(
    operation: keras.Operation, axis: int, units: NDArray[np.int64], kernel: int, stride: int, dilation: int
) -> NDArray[np.int64]:
    reach = (kernel - 1) * dilation
    padding = 0
    if operation.padding == "same":
        outputs, inputs = operation.output.shape[1 + axis], operation.input.shape[1 + axis]
        padding = max(int((outputs - 1) * stride + reach + 1 - inputs), 0) // 2
    first = units * stride - padding
    return np.stack([first[:, 0], first[:, 1] + reach], axis=1)


def _is_pointwise(operation: keras.Operation) -> bool:
    if isinstance(operation, (layers.BatchNormalization, layers.Concatenate)):
        return operation.axis in (-1, 3)
    if isinstance(operation, layers.Layer):
        return isinstance(operation, _POINTWISE)
    return type(operation).__name__ in _POINTWISE_OPERATIONS
