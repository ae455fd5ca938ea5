"""What the package reaches for in Keras and TensorFlow beyond their public names.

Checked against Keras 3.15.1 and TensorFlow 2.21.0; each has a test, which is where a newer version shows first.
"""

import inspect
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.backend.tensorflow import nn, random
from keras.src.optimizers.base_optimizer import BaseOptimizer
from tensorflow.python.distribute.collective_all_reduce_strategy import CollectiveAllReduceExtended
from tensorflow.python.framework import config

_Rule = TypeVar("_Rule", bound=keras.optimizers.Optimizer)

_KERAS_MAX_POOL = nn.max_pool
_KERAS_MOMENTS = keras.layers.BatchNormalization._moments
_KERAS_DROPOUT, _KERAS_UNIFORM, _KERAS_NORMAL = random.dropout, random.uniform, random.normal
_thread = threading.local()
_PURE = (
    "stateless_apply",
    "assign",
    "assign_add",
    "assign_sub",
    "_apply_weight_decay",
    "_backend_update_step",
    "_backend_increment_gradient_accumulators",
    "_backend_reset_gradient_accumulators",
    "_var_key",
)


class _Pure(keras.optimizers.Optimizer):  # type: ignore[misc]
    """What stands between one of Keras's rules and its optimizer for TensorFlow."""


for _name in _PURE:
    setattr(_Pure, _name, getattr(BaseOptimizer, _name))


def pure(rule: type[_Rule]) -> type[_Rule]:
    """A subclass of a Keras optimizer whose `stateless_apply` works on TensorFlow.

    Keras refuses there, as its optimizers for TensorFlow update through tf.distribute. The methods that do are replaced
    by those that all backends inherit, which say the same in pure operations; nothing looks across replicas any more.
    What the rule has of its own stays, such as Muon's weight decay, and finds the pure methods as its `super()`.
    """
    return type(rule.__name__, (rule, _Pure), {})


@contextmanager
def max_pooling_by(pool: Callable[..., tf.Tensor]) -> Iterator[None]:
    """While entered, what this thread traces has `pool` in place of Keras's max pooling where all sides are known.

    By thread, as the replicas of a strategy are traced in one each, and take turns in the middle of a layer.

    Args:
        pool: takes what keras.ops.max_pool does.
    """
    nn.max_pool = _max_pool
    before, _thread.pool = getattr(_thread, "pool", None), pool
    try:
        yield
    finally:
        _thread.pool = before


def _max_pool(inputs: tf.Tensor, *args: Any, **kwargs: Any) -> tf.Tensor:
    pool = getattr(_thread, "pool", None)
    if pool is None or None in inputs.shape[1:]:
        return _KERAS_MAX_POOL(inputs, *args, **kwargs)
    return pool(inputs, *args, **kwargs)


class _OneBatch:
    """What layers look at while the rows that a replica has are a part of a batch."""

    def __init__(self, generators: Sequence[Any], weights: tf.Tensor, bits: "Bits") -> None:
        self.weights = weights
        self._numbers: Mapping[int, int] = {id(generator): number for number, generator in enumerate(generators)}
        self._drawn = [0] * len(generators)
        self._bits = bits

    def knows(self, generator: Any) -> bool:
        return id(generator) in self._numbers

    def is_by_example(self, shape: Sequence[Any]) -> bool:
        """Whether what is drawn in that shape has something of its own for each example."""
        return len(shape) > 0 and shape[0] in (None, self.weights.shape[0]) and None not in shape[1:]

    def fractions(self, generator: Any, shape: Sequence[Any], dtype: Any) -> tf.Tensor:
        """Uniform in (0, 1), of that shape, whose first axis is that of the batch."""
        number = self._numbers[id(generator)]
        self._drawn[number] += 1
        bits = self._bits(number, self._drawn[number], math.prod(shape[1:]))
        digits = 52 if dtype == tf.float64 else 23  # so that the half that is added is not rounded away
        integers = tf.cast(tf.bitwise.right_shift(bits, tf.constant(64 - digits, tf.uint64)), tf.int64)
        return tf.reshape((tf.cast(integers, dtype) + 0.5) * 2.0**-digits, [-1, *shape[1:]])


Bits = Callable[[int, int, int], tf.Tensor]
"""Which random layer, which of its draws, how many numbers for an example → (n, numbers) uint64."""


@contextmanager
def as_one_batch(model: keras.Model, weights: tf.Tensor, bits: Bits) -> Iterator[None]:
    """While entered, what this thread traces of a model in training doesn't show how a batch is shared among replicas.

    BatchNormalization takes mean and variance over the rows of all replicas that aren't padding, in one all-reduce.
    Dropout and its kin draw `bits` for each example, and leave their own states alone.

    Args:
        model: whose layers are called.
        weights: (n,), 0 for padding.
        bits: what is drawn.
    """
    keras.layers.BatchNormalization._moments = _moments
    random.dropout, random.uniform, random.normal = _dropout, _uniform, _normal
    before, _thread.batch = _one_batch(), _OneBatch(seed_generators(model), weights, bits)
    try:
        yield
    finally:
        _thread.batch = before


def _one_batch() -> _OneBatch | None:
    return getattr(_thread, "batch", None)


def _moments(layer: Any, inputs: tf.Tensor, mask: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    batch = _one_batch()
    if batch is None or mask is not None:
        return _KERAS_MOMENTS(layer, inputs, mask)  # type: ignore[no-any-return]
    centre = tf.stop_gradient(tf.cast(tf.convert_to_tensor(layer.moving_mean), inputs.dtype))
    return moments(inputs, layer._reduction_axes, batch.weights, centre)


def moments(
    inputs: tf.Tensor, axes: Sequence[int], weights: tf.Tensor, centre: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance over the rows of all replicas that count, each (channels,). To be called in a replica.

    With c near the mean, Var x = E(x - c)² - (E x - c)² loses no digits, and asks for one all-reduce.

    Args:
        inputs: the first axis is that of the batch.
        axes: all but that of the channels.
        weights: (n,), 0 for rows that don't count, else 1.
        centre: c, (channels,).
    """
    ones = [1] * (inputs.ndim - 1)
    (channels,) = set(range(inputs.ndim)) - set(axes)
    by_row = tf.reshape(tf.cast(weights, inputs.dtype), [-1, *ones])
    centred = inputs - tf.reshape(
        centre, [inputs.shape[channels] if axis == channels else 1 for axis in range(inputs.ndim)]
    )
    rows = tf.shape(inputs, out_type=tf.int64)[0]  # of a large batch int32 does not hold the size
    each = tf.cast(tf.size(inputs, out_type=tf.int64) / (rows * inputs.shape[channels]), inputs.dtype)
    count = tf.reduce_sum(by_row) * each
    sums = tf.concat([tf.reduce_sum(by_row * centred, axes), tf.reduce_sum(by_row * centred**2, axes), [count]], axis=0)
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        sums = replica.all_reduce(tf.distribute.ReduceOp.SUM, sums)
    off_mean, off_square = tf.split(sums[:-1] / sums[-1], 2)
    return centre + off_mean, tf.maximum(off_square - off_mean**2, 0)


def _dropout(inputs: tf.Tensor, rate: float, noise_shape: Any = None, seed: Any = None) -> tf.Tensor:
    batch = _one_batch()
    asked = inputs.shape if noise_shape is None else noise_shape
    shape = [side if wanted is None else wanted for wanted, side in zip(asked, inputs.shape, strict=True)]
    if batch is None or not batch.knows(seed) or not 0 < rate < 1 or not batch.is_by_example(shape):
        return _KERAS_DROPOUT(inputs, rate, noise_shape, seed)
    keep = batch.fractions(seed, shape, tf.float32) >= rate
    return tf.where(keep, inputs / (1 - rate), tf.zeros([], inputs.dtype))


def _uniform(shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None) -> tf.Tensor:
    batch, sides = _one_batch(), _sides(shape)
    if batch is None or not batch.knows(seed) or not batch.is_by_example(sides):
        return _KERAS_UNIFORM(shape, minval, maxval, dtype, seed)
    return _drawn(batch, sides, dtype, seed, lambda fractions: minval + (maxval - minval) * fractions)


def _normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> tf.Tensor:
    batch, sides = _one_batch(), _sides(shape)
    if batch is None or not batch.knows(seed) or not batch.is_by_example(sides):
        return _KERAS_NORMAL(shape, mean, stddev, dtype, seed)
    return _drawn(batch, sides, dtype, seed, lambda fractions: mean + stddev * tf.math.ndtri(fractions))


def _sides(shape: Any) -> list[int | None]:
    """A shape as numbers; None for what isn't known while it is traced."""
    sides = tf.get_static_value(shape, partial=True) if tf.is_tensor(shape) else shape
    return [None if side is None or tf.is_tensor(side) else int(side) for side in ([] if sides is None else sides)]


def _drawn(
    batch: _OneBatch, sides: Sequence[int | None], dtype: Any, seed: Any, of: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    kind = tf.as_dtype(dtype or keras.config.floatx())
    return tf.cast(of(batch.fractions(seed, sides, tf.float64 if kind == tf.float64 else tf.float32)), kind)


def seed_generators(model: keras.Model) -> list[Any]:
    """What the layers of a model draw from, in the order of the layers."""
    return [generator for layer in model._flatten_layers() for generator in layer._seed_generators]


@contextmanager
def fresh_names() -> Iterator[None]:
    """While entered, layers without a name are numbered from the first on, whatever else this process has built."""
    name = "object_name_uids"
    before = global_state.get_global_attribute(name)
    global_state.set_global_attribute(name, None)
    try:
        yield
    finally:
        global_state.set_global_attribute(name, before)


def is_op_determinism_enabled() -> bool:
    """Whether TensorFlow refuses kernels that may give other bits each time."""
    return bool(config.is_op_determinism_enabled())


def disable_op_determinism() -> None:
    """Undo tf.config.experimental.enable_op_determinism, which has no public counterpart."""
    config.disable_op_determinism()


def optimizer_moments(optimizer: keras.optimizers.Adam) -> list[int]:
    """Where in `optimizer.variables` the second moments of each weight stand."""
    places = {id(variable): place for place, variable in enumerate(optimizer.variables)}
    return [places[id(moment)] for moment in optimizer._velocities]


def graph_layers(model: keras.Model) -> list[Any]:
    """All layers of a model, however deep inside others, itself left out."""
    return [layer for layer in model._flatten_layers() if layer is not model]


def infer_by_default(model: keras.Model) -> None:
    """Let a model that is called without `training` infer.

    Resizing and its kin train by default. Keras keeps that with the call, and hands it on to all that comes after.
    """
    for layer in graph_layers(model):
        trains = getattr(inspect.signature(layer.call).parameters.get("training"), "default", None) is True
        for node in layer._inbound_nodes if trains else ():
            node.arguments.kwargs["training"] = False


def draws_at_random(layer: keras.layers.Layer) -> bool:
    """Whether a layer draws: what it draws from is then a variable of its own."""
    return bool(layer._seed_generators)


def has_own_state(layer: keras.layers.Layer) -> bool:
    """Whether a layer itself, not one inside it, has variables that no gradient trains."""
    return bool(layer._non_trainable_variables)


def last_operation(model: keras.Model) -> keras.Operation:
    """What gives a functional model's first output: a layer, or an operation as `x + y` makes one."""
    return model.outputs[0]._keras_history.operation


class MultiWorkerOverDevices(tf.distribute.MultiWorkerMirroredStrategy):  # type: ignore[misc]
    """MultiWorkerMirroredStrategy over devices of our choice: by itself it takes all GPUs, or one CPU device.

    Args:
        resolver, options: as its cluster_resolver and communication_options.
        devices: of this worker, of one kind: `CPU:0`, `GPU:1`.
    """

    def __init__(self, resolver: Any, options: Any, devices: Sequence[str]) -> None:
        class Extended(CollectiveAllReduceExtended):  # type: ignore[misc]
            def _initialize_local_devices(self, resolver: Any, worker_device: str) -> tuple[tuple[str, ...], str]:
                return tuple(f"{worker_device}/device:{device}" for device in devices), devices[0].partition(":")[0]

        extended = Extended(self, cluster_resolver=resolver, communication_options=options)
        tf.distribute.Strategy.__init__(self, extended)


@contextmanager
def function_graph() -> Iterator[None]:
    """While entered, this thread traces operations as in a tf.function, and computes none.

    TensorFlow does not begin to run for it, as it would for a tf.function: its devices may still be configured.
    """
    with tf.__internal__.FuncGraph("traced").as_default():
        yield
