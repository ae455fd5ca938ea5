"""Update rules as pure functions of gradients, weights and slots; and what is done to a gradient before."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from harness.config.optimizer import SGD, Adam, AdamW, ImportedOptimizer, Lion, OptimizerSection
from harness.errors import ConfigError
from harness.imports import load_object, reason
from harness.keras_internals import fresh_names, optimizer_moments, pure
from harness.training.layerwise import LAMB, LARS, is_bias
from harness.training.muon import Muon
from harness.training.packing import Packing
from harness.training.schedule import WarmupThenDecay

_RULES = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
    "lamb": LAMB,
    "lion": keras.optimizers.Lion,
    "lars": LARS,
    "muon": Muon,
}
_TRIED_SHAPES = ((3, 3, 2, 4), (4, 3), (3,))


@dataclass(frozen=True)
class UpdateRule:
    """A Keras optimizer, and whether it sees all weights as one vector or each on its own."""

    optimizer: keras.optimizers.Optimizer
    packing: Packing
    is_packed: bool

    def apply(
        self, slots: list[tf.Tensor], gradient: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Weights and slots after an update.

        Args:
            slots: values of the optimizer's variables.
            gradient, weights: each as one vector, (parameters,).
        """
        if self.is_packed:
            (updated,), slots = self.optimizer.stateless_apply(slots, [gradient], [weights])
            return updated, slots
        each = (self.packing.unpack(vector) for vector in (gradient, weights))
        updated, slots = self.optimizer.stateless_apply(slots, *each)
        return self.packing.pack(updated), slots

    @property
    def slots(self) -> float:
        """How many arrays of the weights' size the optimizer keeps."""
        _updates, *kept = self.optimizer.variables
        return float(sum(math.prod(variable.shape) for variable in kept) / self.packing.size)


def update_rule(
    section: OptimizerSection, learning_rate: Any, weights: Sequence[keras.Variable], packing: Packing
) -> UpdateRule:
    """The section's rule for these weights, its variables built. To be called in the strategy's scope.

    What is done element by element is done to all weights as one vector: a handful of kernels in place of some for
    each weight. Raises ConfigError where the section names a class that can't be had.
    """
    with fresh_names():
        optimizer = build(section, learning_rate)
        spares_biases = not getattr(section, "decay_biases", True)
        is_elementwise = isinstance(section, Adam | AdamW | SGD | Lion) and not spares_biases
        is_packed = is_elementwise and not any(weight.constraint for weight in weights)
        if spares_biases and not isinstance(optimizer, LARS | LAMB):  # which see to it themselves
            optimizer.exclude_from_weight_decay([weight for weight in weights if is_bias(weight)])
        if is_packed:
            weights = [keras.Variable(np.zeros(packing.size), dtype=packing.dtype, name="weights")]
        optimizer.build(weights)
    return UpdateRule(optimizer, packing, is_packed)


def build(section: OptimizerSection, learning_rate: Any) -> keras.optimizers.Optimizer:
    """The section's optimizer, with `learning_rate` a float or a schedule. To be called in the strategy's scope.

    Its `stateless_apply` is pure. Its variables' paths begin with the rule's name, as checkpoints need: Keras would
    number the rules of a process.
    """
    if isinstance(section, ImportedOptimizer):
        return pure(_load(section.name))(learning_rate=learning_rate, **section.arguments)
    own = {"learning_rate"} if section.name in ("lamb", "lars") else {"learning_rate", "decay_biases"}
    return pure(_RULES[section.name])(learning_rate, **section.model_dump(exclude=own))


def check(section: OptimizerSection) -> None:
    """Raise ConfigError where the section names a class that can't be had, or that fails as an update rule.

    It is tried on weights of a few shapes, in a graph that is thrown away: no device is touched.
    """
    if not isinstance(section, ImportedOptimizer):
        return
    _load(section.name)
    try:
        problem = _problem(section)
    except Exception as error:  # noqa: BLE001  the user's own code, which may do anything
        problem = f"fails: {reason(error)}"
    if problem:
        raise ConfigError(f"optimizer: {section.name} {problem}")


def _problem(section: ImportedOptimizer) -> str | None:
    with tf.Graph().as_default() as graph:
        weights = [keras.Variable("zeros", shape, name=f"weight_{len(shape)}") for shape in _TRIED_SHAPES]
        packing = Packing(weights)
        rule = update_rule(section, WarmupThenDecay("constant", section.learning_rate, 0, 1), weights, packing)
        optimizer = rule.optimizer
        made = sum(operation.type == "VarHandleOp" for operation in graph.get_operations())
        if made != len(weights) + len(optimizer.variables):
            return "has a variable that Keras doesn't know of: make it with add_variable in build"
        before = [tf.zeros(variable.shape, variable.dtype) for variable in optimizer.variables]
        vector = tf.ones([packing.size])
        updated, after = rule.apply(before, vector, vector)
        for variable, value, old in zip(optimizer.variables, after, before, strict=True):
            if value.shape != old.shape:
                return f"gives its variable {variable.path} of shape {tuple(old.shape)} the shape {tuple(value.shape)}"
        if updated.shape != vector.shape:
            return "changes the shapes of weights"
    return None


def _load(path: str) -> type[keras.optimizers.Optimizer]:
    found = load_object(path, "optimizer.name")
    if not (isinstance(found, type) and issubclass(found, keras.optimizers.Optimizer)):
        raise ConfigError(f"optimizer.name: {path} is not a Keras optimizer class: derive it from keras.Optimizer")
    return found


def all_reduce(vector: tf.Tensor) -> tf.Tensor:
    """Sum a vector over all replicas. To be called in a replica."""
    placed = tf.identity(vector)  # what comes out of a loop has no device, and TensorFlow reduces to that of its input
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, placed)


def clip(gradient: tf.Tensor, norm: tf.Tensor, limit: float) -> tf.Tensor:
    """Scale the gradient, whose norm is `norm`, so that it is at most `limit`.

    Pascanu, Mikolov, Bengio 2013, arXiv 1211.5063, algorithm 1.
    """
    return gradient * tf.minimum(1.0, tf.cast(limit, norm.dtype) / norm)


def is_adam(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether it is Adam, or AdamW, of which `preconditioner` knows by what it scales a gradient."""
    return type(optimizer).update_step is keras.optimizers.Adam.update_step and not optimizer.amsgrad


def preconditioner(optimizer: keras.optimizers.Optimizer, slots: Sequence[tf.Tensor]) -> tf.Tensor | None:
    """By what Adam's next update scales each element of the averaged gradient, (parameters,); None for other rules.

    With v the second moments after t > 0 updates and ε where Keras has it:

        √(1 - β₂ᵗ) / (√v + ε)  =  1 / (√v̂ + ε/√(1 - β₂ᵗ)),   v̂ = v / (1 - β₂ᵗ)      (Kingma, Ba 2015, section 2)

    Args:
        optimizer: built.
        slots: values of its variables.
    """
    if not is_adam(optimizer):
        return None
    moment = tf.concat([tf.reshape(slots[place], [-1]) for place in optimizer_moments(optimizer)], axis=0)
    correction = tf.sqrt(1 - optimizer.beta_2 ** tf.cast(slots[0], moment.dtype))
    return correction / (tf.sqrt(moment) + optimizer.epsilon)
