"""Everything that a step changes: the weights, their moving average, and the optimizer's own variables."""

import hashlib
from typing import Any

import keras
import tensorflow as tf

from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.models.build import build
from harness.models.replicas import check_replicable
from harness.training import optimizer
from harness.training.events import Events
from harness.training.schedule import WarmupThenDecay


class State:
    """The model under training and what belongs to it; all its variables live in the strategy's scope."""

    def __init__(
        self,
        config: Config,
        cluster: Cluster,
        events: Events,
        image_shape: tuple[int, int, int],
        classes: int,
        dtype: str | None = None,
    ) -> None:
        """Build everything in the cluster's scope; `dtype` replaces `train.precision`, in tests.

        Raises ConfigError where the model would not train on several replicas as on one.
        """

        def new_model() -> keras.Model:
            return build(config.model.name, image_shape, classes, config.seed, dtype or config.train.precision)

        with cluster.strategy.scope():
            self.model = new_model()
            check_replicable(self.model, cluster.replicas)
            self.average = new_model() if config.train.ema else None
            self.learning_rate = WarmupThenDecay(
                config.schedule.name, config.optimizer.learning_rate, events.warmup_steps, events.total_steps
            )
            self.optimizer = optimizer.build(config.optimizer, self.learning_rate)
            self.optimizer.build(self.model.trainable_variables)

    @property
    def result(self) -> keras.Model:
        """What is evaluated and exported: the averaged model where there is one."""
        return self.model if self.average is None else self.average

    def variables(self) -> dict[str, Any]:
        """All variables by a path that is the same in every process that builds this config."""
        owners = {"model": self.model, "average": self.average, "optimizer": self.optimizer}
        return {
            f"{name}/{variable.path}": variable
            for name, owner in owners.items()
            if owner is not None
            for variable in owner.variables
        }

    def update_average(self, strategy: tf.distribute.Strategy, decay: float) -> None:
        """Move the average towards the weights, in cross-replica context, after the update of step t (1-based).

        a ← d·a + (1 - d)·w with d = min(decay, (1 + t)/(10 + t)), so that the initial weights are soon forgotten.
        """
        assert self.average is not None
        t = tf.cast(self.optimizer.iterations.value, tf.float32)
        decay_now = tf.minimum(decay, (1 + t) / (10 + t))
        for average, weight in zip(self.average.trainable_variables, self.model.trainable_variables, strict=True):
            strategy.extended.update(
                average.value,
                lambda a, w, d: a.assign_add((1 - tf.cast(d, a.dtype)) * (w - a)),
                args=(weight.value, decay_now),
            )


def weights_sha256(model: keras.Model) -> str:
    """SHA-256, in hex, over the trainable weights' bytes in order."""
    digest = hashlib.sha256()
    for weight in model.trainable_variables:
        digest.update(weight.numpy().tobytes())
    return digest.hexdigest()
