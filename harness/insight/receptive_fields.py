"""Which pixels a unit of a layer sees, and which units the output sees: worked out backwards, from the layers' windows
and strides."""

from typing import NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from harness.insight.layers import image_shape, of_a_second_call, operations

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_POOLINGS = (layers.MaxPooling2D, layers.AveragePooling2D)
_POINTWISE = (
    layers.Activation, layers.Add, layers.Average, layers.Dropout, layers.ELU, layers.GaussianDropout,
    layers.GaussianNoise, layers.Identity, layers.LeakyReLU, layers.Maximum, layers.Minimum, layers.Multiply,
    layers.Normalization, layers.PReLU, layers.ReLU, layers.Rescaling, layers.SpatialDropout2D, layers.Subtract,
    layers.RandomBrightness, layers.RandomContrast, layers.RandomFlip, layers.RandomRotation, layers.RandomTranslation,
    layers.RandomZoom,
)  # fmt: skip
"""Those that augment are pointwise since a model is explained in inference mode."""
_POINTWISE_OPERATIONS = (
    "Absolute", "Add", "Cast", "Clip", "Divide", "Elu", "Gelu", "HardSigmoid", "HardSilu", "LeakyRelu", "Maximum",
    "Minimum", "Multiply", "Negative", "RGBToGrayscale", "Relu", "Relu6", "Selu", "Sigmoid", "Silu", "Softplus",
    "Subtract", "Tanh",
)  # fmt: skip
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
    """The pixels that each unit of a layer, or operation, can depend on, cut off at the image's border.

    For a window of k rows (dilation d, stride s, p rows of padding before the first) the output rows a to b come
    from the input rows a·s - p to b·s - p + (k - 1)·d; from layer to layer down to the pixels, and where branches
    meet, all that any of them sees (Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural
    Networks", Distill). Through a layer whose window isn't known, or which is called more than once, the whole image is
    taken to be seen.

    Raises:
        UserError: the model takes images of any size.
    """
    image_shape(model)
    part = _part(model, layer)
    return ReceptiveFields(_seen(part, 0), _seen(part, 1))


def centres(model: keras.Model, layer: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Where the units of a layer lie: the rows and the columns of the image, counted from 0, (units,) each, in which
    the middles of their receptive fields are.

    Of fields that are not cut off at the border, where padding is seen as pixels are. What is spread over all units
    alike, as by squeeze and excitation, says nothing of where one lies and is left out. None where a layer on the way
    has no window, or is called more than once.
    """
    part = _part(model, layer)
    if of_a_second_call(part):
        return None
    fields = _uncut(part, 0), _uncut(part, 1)
    return None if fields[0] is None or fields[1] is None else (fields[0].sum(axis=1) / 2, fields[1].sum(axis=1) / 2)


def reaching(model: keras.Model, layer: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The rows and the columns of a layer's units, (units,) each, that the output can depend on: a pooling without
    padding may drop the last ones."""
    whole = keras.Model(model.inputs, model.outputs)
    target = next(operation.output for operation in operations(model) if operation.name == layer)
    return _needed(whole, target, 0), _needed(whole, target, 1)


def unit_of_all(model: keras.Model, layer: str, size: tuple[int, int]) -> tuple[int, int] | None:
    """Of an image of that size, rows and columns, the unit of a layer that sees just all of it, padding not counted:
    its row and column in the layer's maps. None where there is none, or a layer on the way has no window."""
    part = _part(model, layer)
    if of_a_second_call(part):
        return None
    pixels = keras.Input((*size, part.inputs[0].shape[3]))
    smaller = keras.models.clone_model(part, input_tensors=[pixels])
    found = []
    for axis in (0, 1):
        fields = _uncut(smaller, axis)
        units = [] if fields is None else np.flatnonzero((fields == [0, size[axis] - 1]).all(axis=1)).tolist()
        if len(units) != 1:
            return None
        found.append(units[0])
    return found[0], found[1]


def _part(model: keras.Model, layer: str) -> keras.Model:
    (output,) = [operation.output for operation in operations(model) if operation.name == layer]
    return keras.Model(model.inputs, output)


def _seen(part: keras.Model, axis: int) -> NDArray[np.int64]:
    """(units, 2) first and after last along one axis (0 rows, 1 columns) of what the output's units see."""
    units = np.arange(part.outputs[0].shape[1 + axis])
    if of_a_second_call(part):
        return np.tile([0, part.inputs[0].shape[1 + axis]], (len(units), 1))
    seen = {id(part.outputs[0]): np.stack([units, units], axis=1)}
    for operation in reversed(operations(part)):
        above = [seen[id(tensor)] for tensor in keras.tree.flatten(operation.output) if id(tensor) in seen]
        for tensor in keras.tree.flatten(operation.input):
            last = _side(tensor, axis) - 1
            window = _before(operation, axis, _union(above))
            window = np.tile([0, last], (len(units), 1)) if window is None else np.clip(window, 0, last)
            seen[id(tensor)] = _union([window, *([seen[id(tensor)]] if id(tensor) in seen else [])])
    return seen[id(part.inputs[0])] + [0, 1]


def _uncut(part: keras.Model, axis: int) -> NDArray[np.int64] | None:
    """(units, 2) first and last of what the output's units see through windows alone, and beyond the border."""
    units = np.arange(part.outputs[0].shape[1 + axis])
    seen = {id(part.outputs[0]): np.stack([units, units], axis=1)}
    for operation in reversed(operations(part)):
        above = [seen[id(tensor)] for tensor in keras.tree.flatten(operation.output) if id(tensor) in seen]
        window = _before(operation, axis, _union(above)) if above else None
        for tensor in keras.tree.flatten(operation.input):
            is_broadcast = _is_pointwise(operation) and _side(tensor, axis) != _side(operation.output, axis)
            if window is not None and not is_broadcast:
                seen[id(tensor)] = _union([window, *([seen[id(tensor)]] if id(tensor) in seen else [])])
    return seen.get(id(part.inputs[0]))


def _needed(model: keras.Model, target: keras.KerasTensor, axis: int) -> NDArray[np.bool_]:
    """(units,) along one axis: which positions of a tensor of the model its output can depend on."""
    if of_a_second_call(model):
        return np.ones(_side(target, axis), np.bool_)
    needed = {id(output): np.ones(_side(output, axis), np.bool_) for output in model.outputs}
    for operation in reversed(operations(model)):
        above = [needed[id(tensor)] for tensor in keras.tree.flatten(operation.output) if id(tensor) in needed]
        units = np.flatnonzero(above[0])
        windows = _before(operation, axis, np.stack([units, units], axis=1))
        for tensor in keras.tree.flatten(operation.input):
            places = np.arange(_side(tensor, axis))
            found = needed.setdefault(id(tensor), np.zeros(len(places), np.bool_))
            if windows is None or len(places) == 1:
                found[:] = True
            else:
                found |= ((windows[:, :1] <= places) & (places <= windows[:, 1:])).any(axis=0)
    return needed[id(target)]


def _side(tensor: keras.KerasTensor, axis: int) -> int:
    """How many rows or columns; a vector is one."""
    return int(tensor.shape[1 + axis]) if len(tensor.shape) == 4 else 1


def _union(intervals: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.stack(
        [np.min([one[:, 0] for one in intervals], axis=0), np.max([one[:, 1] for one in intervals], axis=0)], axis=1
    )


def _before(operation: keras.Operation, axis: int, units: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The first and the last position of the input that an operation makes the positions `units`, (n, 2), from; they
    may lie beyond the border. None for an operation whose window isn't known."""
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
    return None


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
    if isinstance(operation, layers.LayerNormalization):
        return operation.axis in ([-1], [3])
    if isinstance(operation, layers.Layer):
        return isinstance(operation, _POINTWISE)
    return type(operation).__name__ in _POINTWISE_OPERATIONS
