"""Everything that a step changes: the weights, their moving average, and the optimizer's own variables."""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.models.replicas import check_replicable
from harness.training import loss_scale, optimizer
from harness.training.events import Events
from harness.training.packing import Packing
from harness.training.schedule import WarmupThenDecay
from harness.training.values import Values


class State:
    """The model under training and what belongs to it; all its variables live in the strategy's scope.

    A chunk of steps reads them when it begins and assigns them when it ends.
    """

    def __init__(self, config: Config, cluster: Cluster, events: Events, new_model: Callable[[], keras.Model]) -> None:
        """Build everything in the cluster's scope; `new_model` gives the same initial weights at each call.

        Raises ConfigError where the model would not train on several replicas as on one.
        """
        with cluster.strategy.scope():
            self.model = new_model()
            check_replicable(self.model, cluster.replicas)
            self.average = new_model() if config.train.ema else None
            self.packing = Packing(self.model.trainable_variables)
            self.learning_rate = WarmupThenDecay(
                config.schedule.name, config.optimizer.learning_rate, events.warmup_steps, events.total_steps
            )
            self.update_rule = optimizer.update_rule(
                config.optimizer, self.learning_rate, self.model.trainable_variables, self.packing
            )
            self.optimizer = self.update_rule.optimizer
            self._loss_scale: list[keras.Variable] = []
            if config.train.precision == "float16":
                self._loss_scale = [
                    keras.Variable(loss_scale.INITIAL, dtype="float32", trainable=False, name="loss_scale"),
                    keras.Variable(0, dtype="int64", trainable=False, name="steps_at_loss_scale"),
                ]

    @property
    def result(self) -> keras.Model:
        """What is evaluated and exported: the averaged model where there is one."""
        return self.model if self.average is None else self.average

    def variables(self) -> dict[str, Any]:
        """All variables by a path that is the same in every process that builds this config."""
        owned = {
            "model": self.model.variables,
            "average": [] if self.average is None else self.average.variables,
            "optimizer": [*self.optimizer.variables, *self._loss_scale],
        }
        named, counts = {}, Counter[str]()
        for name, variables in owned.items():
            for variable in variables:
                path = f"{name}/{variable.path}"
                number = counts[path]
                counts[path] += 1
                named[f"{path}#{number}" if number else path] = variable  # Keras's Adafactor has several of one name
        return named

    def values(self) -> Values:
        """What the variables hold. To be called in a replica."""
        return Values(
            self.packing.pack([variable.value for variable in self.model.trainable_variables]),
            _values(self.model.non_trainable_variables),
            _values(self.optimizer.variables),
            [] if self.average is None else self._average_values(self.average),
            _values(self._loss_scale),
        )

    def assign(self, strategy: tf.distribute.Strategy, values: Values) -> None:
        """Let the variables hold what each replica has. To be called in cross-replica context."""

        def assign(variables: list[keras.Variable], tensors: list[Any]) -> None:
            for variable, tensor in zip(variables, tensors, strict=True):
                strategy.extended.update(variable.value, lambda old, new: old.assign(new), args=(tensor,))

        assign(self.model.trainable_variables, strategy.run(self.packing.unpack, args=(values.weights,)))
        assign(self.model.non_trainable_variables, values.other)
        assign(self.optimizer.variables, values.slots)
        assign(self._loss_scale, values.loss_scale)
        if self.average is not None:
            weights, *rest = values.average
            assign(self.average.trainable_variables, strategy.run(self.packing.unpack, args=(weights,)))
            averaged = iter(rest)
            for variable, live in zip(self.average.non_trainable_variables, values.other, strict=True):
                assign([variable], [next(averaged) if _is_float(variable) else live])

    def _average_values(self, average: keras.Model) -> list[tf.Tensor]:
        other = [variable for variable in average.non_trainable_variables if _is_float(variable)]
        return [self.packing.pack(_values(average.trainable_variables)), *_values(other)]


def weights_sha256(model: keras.Model) -> str:
    """SHA-256, in hex, over the bytes of the trainable weights, and of moving statistics behind them, in order."""
    digest = hashlib.sha256()
    for weight in [*model.trainable_variables, *filter(_is_float, model.non_trainable_variables)]:
        digest.update(weight.numpy().tobytes())
    return digest.hexdigest()


def _values(variables: list[keras.Variable]) -> list[tf.Tensor]:
    return [tf.identity(variable.value) for variable in variables]


def _is_float(variable: keras.Variable) -> bool:
    return tf.as_dtype(variable.dtype).is_floating  # type: ignore[no-any-return]
