"""From a config to a chunk that is compiled, and what is done where a model's operations lack a kernel."""

import re
from collections.abc import Callable

import keras
import tensorflow as tf

from harness.cluster.batch import BatchPlan
from harness.cluster.strategy import Cluster, is_on_gpus
from harness.config import Config
from harness.data.augment import Augmentation
from harness.data.placement import fits_on_device
from harness.data.sources import Split
from harness.errors import ConfigError
from harness.keras_internals import disable_op_determinism, graph_layers, is_op_determinism_enabled
from harness.training.chunk import Chunk
from harness.training.events import Events
from harness.training.fused import Fused
from harness.training.gradient_norms import GradientNorms
from harness.training.metrics import in_training
from harness.training.source import Source, block_steps
from harness.training.state import State
from harness.training.step import Step
from harness.training.stepwise import Stepwise

_LACKING = (
    tf.errors.InvalidArgumentError,
    tf.errors.UnimplementedError,
    tf.errors.InternalError,
    tf.errors.NotFoundError,
    RuntimeError,
)
"""What TensorFlow raises where an operation has no kernel of the kind that is wanted; and much else."""


def compiled_chunk(
    config: Config,
    cluster: Cluster,
    state: State,
    train: Split,
    first_step: int,
    warn: Callable[[str], None],
    jit: bool | None = None,
) -> Chunk:
    """A chunk that trains from `first_step` of the data on, compiled.

    Where an operation of the model has no deterministic kernel, or XLA can't compile one, `warn` is called and training
    continues without, unless the config insists: then it is a ConfigError.

    Args:
        jit: whether to try XLA; None for what `train.jit` says of these devices.
    """
    if jit is None:
        jit = is_on_gpus() if config.train.jit == "auto" else config.train.jit == "on"
    while True:
        chunk = new_chunk(config, cluster, state, train, first_step, jit)
        try:
            chunk.compile()
        except _LACKING as error:
            operation = _operation(str(error), state.model)
            in_some_order = is_op_determinism_enabled() and "determinis" in str(error)
            if isinstance(error, RuntimeError) and not in_some_order and "merge_call" not in str(error):
                raise
            if jit and config.train.jit == "auto":  # without XLA there may be a kernel, and a deterministic one
                what = "XLA has no deterministic kernel for" if in_some_order else "XLA can't compile"
                warn(f"{what} {operation}: training without XLA, which is slower")
                jit = False
            elif in_some_order:
                what = f"{operation} has no deterministic kernel {'in XLA' if jit else 'on these devices'}"
                if config.train.deterministic is True:
                    raise ConfigError(f"train.deterministic: {what}: set it to auto or false") from None
                warn(f"{what}: two runs will not end with the same weights to the bit")
                disable_op_determinism()
            elif jit:
                raise ConfigError(f"train.jit: XLA can't compile {operation}: set it to auto or off") from None
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
    has_branches = not (jit or is_on_gpus())
    step = Step(
        state.model,
        state.update_rule,
        state.packing,
        config.train,
        in_training(config),
        norms,
        Augmentation(config.data, config.seed),
        config.seed,
        jit,
        has_branches,
    )
    on_device = fits_on_device(config, train)
    is_fused = jit and cluster.replicas == 1
    block = block_steps(config, train, events.next_after(0), on_device) if is_fused else None
    source = Source(config, cluster, train, first_step, on_device, block)
    if is_fused:
        return Chunk(cluster, state, step, Fused(cluster, step, source))
    return Chunk(cluster, state, step, Stepwise(cluster, step, source, jit, jit or is_op_determinism_enabled()))


def _operation(message: str, model: keras.Model) -> str:
    """The operation that TensorFlow's message is about, and the layer that it belongs to, as far as it says.

    Of several nodes, such as a loop and what stands in it, the first that belongs to a layer.
    """
    nodes = [node.split("/") for node in re.findall(r"{{node ([^}]+)}}", message)]
    names = {layer.name for layer in graph_layers(model)}
    for path in nodes:
        # TensorFlow numbers a name that it has given before.
        layers = [name for part in reversed(path) for name in (part, re.sub(r"_\d+$", "", part)) if name in names]
        if layers:
            return f"{path[-1]} of layer {layers[0]}"
    return nodes[-1][-1] if nodes else "an operation of the model"
