"""Where a step's batches come from: the stream, and the images themselves where they lie on the devices."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import tensorflow as tf

from harness.cluster.batch import BatchPlan
from harness.cluster.strategy import Cluster, is_on_gpus
from harness.config import Config
from harness.data.pipeline import Batch, Rows, training_batches
from harness.data.sources import Split

_BLOCK_STEPS = 32
_BLOCK_STEPS_ON_CPUS = 4
"""There a step of one program is slow, and starting it is not."""
_BLOCK_EXAMPLES = 8192
_BLOCK_BYTES = 64 * 2**20


class Source:
    """The training set in the order of the run, from a step on."""

    def __init__(
        self, config: Config, cluster: Cluster, train: Split, first_step: int, on_device: bool, block: int | None
    ) -> None:
        self.plan = BatchPlan.of(config.train, cluster.replicas)
        self.block = block
        self._dataset = cluster.distribute(
            partial(
                training_batches,
                train,
                config.seed,
                self.plan,
                first_step,
                block=block,
                on_device=on_device,
                with_partners=config.data.mixes,
            )
        )
        self.data: Any = cluster.on_each_replica((train.images[:], train.labels.astype("int64"))) if on_device else ()
        """On each replica the images and labels, or nothing where the stream brings them."""

    def elements(self, steps: int) -> int:
        """How many of the stream's elements a replica takes for so many steps, which are whole blocks."""
        return steps * self.plan.micro_batches if self.block is None else steps // self.block

    def batches(self) -> Iterator[Any]:
        """The stream's elements from the first step on: a micro-batch a replica, or a block of steps."""
        return iter(self._dataset)


def batch_of(data: Any, element: Batch | Rows) -> Batch:
    """An element of the stream as images and labels. To be called in a replica, with what it has of `Source.data`."""
    if isinstance(element, Batch):
        return element
    images, labels = data
    batch = Batch(tf.gather(images, element.rows), tf.gather(labels, element.rows), element.weights, element.positions)
    if isinstance(element.partners, tuple):
        return batch
    partners = tf.gather(images, element.partners), tf.gather(labels, element.partners)
    return batch._replace(partner_images=partners[0], partner_labels=partners[1])


def block_steps(config: Config, train: Split, between_events: int, on_device: bool) -> int:
    """How many steps one XLA program takes: so many that starting it costs next to nothing, and so few that what is
    computed in vain of a block that an event cuts does neither."""
    global_batch = config.train.global_batch
    longest = _BLOCK_STEPS if is_on_gpus() else _BLOCK_STEPS_ON_CPUS
    most = min(longest, _BLOCK_EXAMPLES // global_batch, between_events)
    if not on_device:
        examples = global_batch * (2 if config.data.mixes else 1)
        most = min(most, _BLOCK_BYTES // (examples * train.images[0].nbytes))
    return max(1, most)
