"""From a config to a chunk that is compiled, and what is done where a model's operations lack a kernel."""

import re
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import keras
import tensorflow as tf

from harness.cluster.batch import BatchPlan
from harness.cluster.strategy import Cluster, is_on_gpus
from harness.config import Config
from harness.data.pipeline import Batch
from harness.data.placement import fits_on_device
from harness.data.shift import offsets, shift
from harness.data.sources import Split
from harness.errors import ConfigError
from harness.keras_internals import disable_op_determinism, graph_layers, is_op_determinism_enabled
from harness.training.chunk import Chunk
from harness.training.events import Events
from harness.training.fused import Fused
from harness.training.gradient_norms import GradientNorms
from harness.training.source import Source, block_steps
from harness.training.state import State
from harness.training.step import Step
from harness.training.stepwise import Stepwise

_LACKING = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)


def compiled_chunk(
    config: Config, cluster: Cluster, state: State, train: Split, first_step: int, warn: Callable[[str], None]
) -> Chunk:
    """A chunk that trains from `first_step` of the data on, compiled.

    Where an operation of the model has no deterministic kernel, or XLA can't compile one, it is compiled without where
    the config says auto, and `warn` told. Raises ConfigError where the config insists.
    """
    jit = is_on_gpus() if config.train.jit == "auto" else config.train.jit == "on"
    while True:
        chunk = new_chunk(config, cluster, state, train, first_step, jit)
        try:
            chunk.compile()
        except _LACKING as error:
            where = _operation(str(error), state.model)
            if is_op_determinism_enabled() and "determinis" in str(error):
                if config.train.deterministic is True:
                    _refuse(f"train.deterministic: {where} has no deterministic kernel here: set it to auto or false")
                warn(f"{where} has no deterministic kernel here: two runs will differ in their last digits")
                disable_op_determinism()
            elif jit:
                if config.train.jit == "on":
                    _refuse(f"train.jit: XLA can't compile {where}: set it to auto or off")
                warn(f"XLA can't compile {where}: training goes on without, slower")
                jit = False
            else:
                raise
        else:
            return chunk


def new_chunk(config: Config, cluster: Cluster, state: State, train: Split, first_step: int, jit: bool) -> Chunk:
    """A chunk that is not compiled yet."""
    events = Events.of(config, len(train))
    plan = BatchPlan.of(config.train, cluster.replicas)
    norms = None
    if events.noise_scale is not None:
        norms = GradientNorms(plan, state.optimizer, state.packing.size, events.noise_scale)
    augment = partial(_shifted, seed=config.seed, pixels=config.data.shift)
    step = Step(state.model, state.optimizer, state.packing, config.train, norms, augment, jit)
    on_device = fits_on_device(config.data.placement, train)
    is_fused = jit and cluster.replicas == 1
    block = block_steps(config, train, events.next_after(0), on_device) if is_fused else None
    source = Source(config, cluster, train, first_step, on_device, block)
    if is_fused:
        return Chunk(cluster, state, step, Fused(cluster, step, source))
    return Chunk(cluster, state, step, Stepwise(cluster, step, source, jit, jit or is_op_determinism_enabled()))


def _shifted(batch: Batch, seed: int, pixels: int) -> Batch:
    if not pixels:
        return batch
    return batch._replace(images=shift(batch.images, offsets(batch.positions, seed, pixels)))


def _refuse(message: str) -> NoReturn:
    raise ConfigError(message) from None


def _operation(message: str, model: keras.Model) -> str:
    """The operation that TensorFlow's message is about, and the layer that it belongs to, as far as it says."""
    node = re.search(r"{{node ([^}]+)}}", message)
    path = node[1].split("/") if node else []
    names = {layer.name for layer in graph_layers(model)}
    layer = next((part for part in reversed(path) if part in names), None)
    operation = path[-1] if path else "an operation of the model"
    return f"{operation} of layer {layer}" if layer else operation
