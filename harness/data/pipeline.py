"""The training set as an endless `tf.data` stream of the batches one worker's replicas need."""

from typing import Any, NamedTuple

import tensorflow as tf

from harness.cluster.batch import BatchPlan
from harness.data.gather import gather, gather_labels
from harness.data.order import partner_rows, rows
from harness.data.sources import Split


class Batch(NamedTuple):
    """Rows of training images, n of them or more dimensions of n, as the device computes on them."""

    images: tf.Tensor  # (n, height, width, channels) uint8
    labels: tf.Tensor  # (n,) int64: TensorFlow keeps int32 in the host's memory
    weights: tf.Tensor  # (n,) float32, 0 for padding
    positions: tf.Tensor  # (n,) int64 in the endless stream of examples (see order.py)
    partner_images: Any = ()  # where examples are mixed: those that each is mixed with, as `images`
    partner_labels: Any = ()  # as `labels`
    shares: Any = ()  # (n,) float32 of an example in its own label; the rest is its partner's

    def labelled(self) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Labels, and how much each counts: an example that is mixed counts by its share for each of its two labels.

        What is measured of an example is thus λ·f(label) + (1 - λ)·f(partner's label). For cross-entropy and binary
        loss, also with label smoothing, that is the loss of the distribution that has λ and 1 - λ at the two labels,
        since they are linear in it: -Σ_c t_c log p_c; a class weight is that of each label. To a loss of the user's own
        it gives labels (n,) as ever (Zhang et al. 2018, arXiv 1710.09412, whose own code trains so and measures
        accuracy so).
        """
        if isinstance(self.shares, tuple):
            return [(self.labels, self.weights)]
        return [(self.labels, self.weights * self.shares), (self.partner_labels, self.weights * (1 - self.shares))]


class Rows(NamedTuple):
    """As Batch, for images that lie on the device."""

    rows: tf.Tensor  # (n,) int64, of the training set
    weights: tf.Tensor
    positions: tf.Tensor
    partners: Any = ()  # rows too


def training_batches(
    split: Split,
    seed: int,
    plan: BatchPlan,
    first_step: int,
    context: tf.distribute.InputContext,
    block: int | None = None,
    on_device: bool = False,
    with_partners: bool = False,
) -> tf.data.Dataset:
    """Batches in the order in which this worker's replicas take them, from `first_step` on, without end.

    Endless, because after a finite set TensorFlow asks all workers at each step whether they have data left.

    Args:
        split: the training set, (N, height, width, channels).
        block: None, or for one replica a number of steps that an element is to hold.
        on_device: give rows of the training set instead of images and labels.
        with_partners: give each example's partner too, for augmentation that mixes two.

    Each element is a Batch, or Rows. Without `block` it is one micro-batch of one replica, so that memory does not grow
    with the global batch: its n is plan.micro_rows, and all replicas' first micro-batches of a step come first, then
    their second ones. With `block` its n is (block, plan.micro_batches, plan.micro_rows).
    """
    local_replicas = context.num_replicas_in_sync // context.num_input_pipelines
    first_replica = context.input_pipeline_id * local_replicas
    if not on_device:
        images, labels = gather(split.images), gather_labels(split.labels)
    in_micro_batch = tf.range(plan.micro_rows, dtype=tf.int64)

    def of(step: tf.Tensor, index: tf.Tensor, replica: tf.Tensor) -> Batch | Rows:
        in_replica = index * plan.micro_rows + in_micro_batch
        in_batch = replica * plan.replica_rows + in_replica
        real = (in_replica < plan.replica_rows) & (in_batch < plan.global_batch)
        position = step * plan.global_batch + tf.where(real, in_batch, 0)
        weights = tf.broadcast_to(tf.cast(real, tf.float32), tf.shape(position))
        places = tf.reshape(position, [-1])
        row = tf.reshape(rows(places, seed, len(split)), tf.shape(position))
        partner = tf.reshape(partner_rows(places, seed, len(split)), tf.shape(position)) if with_partners else ()
        if on_device:
            return Rows(row, weights, position, partner)
        batch = Batch(images(row), labels(row), weights, position)
        if not with_partners:
            return batch
        return batch._replace(partner_images=images(partner), partner_labels=labels(partner))

    def micro_batch(count: tf.Tensor) -> Batch | Rows:
        number, replica = count // local_replicas, first_replica + count % local_replicas
        return of(first_step + number // plan.micro_batches, number % plan.micro_batches, replica)

    def steps(count: tf.Tensor) -> Batch | Rows:
        assert block is not None
        step = first_step + count * block + tf.range(block, dtype=tf.int64)
        return of(step[:, None, None], tf.range(plan.micro_batches, dtype=tf.int64)[:, None], tf.zeros([], tf.int64))

    element = _plain(micro_batch if block is None else steps)
    batches = tf.data.Dataset.counter().map(element, deterministic=True, num_parallel_calls=2)
    return batches.prefetch(2 * local_replicas).with_options(_options())


def evaluation_batches(split: Split, rows_per_replica: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Every row of `split` once, in order, shared among all replicas: images, labels and weights as in a Batch,
    and the same number of elements for every replica."""
    local_replicas = context.num_replicas_in_sync // context.num_input_pipelines
    first_replica = context.input_pipeline_id * local_replicas
    images, labels = gather(split.images), gather_labels(split.labels)
    batch_rows = rows_per_replica * context.num_replicas_in_sync
    batches = -(-len(split) // batch_rows)
    in_replica = tf.range(rows_per_replica, dtype=tf.int64)

    def batch(count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        index, replica = count // local_replicas, first_replica + count % local_replicas
        row = index * batch_rows + replica * rows_per_replica + in_replica
        real = row < len(split)
        row = tf.where(real, row, 0)
        return images(row), labels(row), tf.cast(real, tf.float32)

    return (
        tf.data.Dataset.range(batches * local_replicas)
        .map(_plain(batch))
        .prefetch(local_replicas)
        .with_options(_options())
    )


def _options() -> tf.data.Options:
    """No tuning of the pipeline at run time: nothing is left to tune, and the end of a process was seen to hang where
    an iterator waits for the thread that tunes it (TensorFlow 2.21, RootDataset::Iterator's destructor). And no
    rewriting of it, for which all the images that it reads from would be copied once more."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return options


# There is no Python control flow to convert in these functions, and looking for some takes a third of a second.
_plain = tf.autograph.experimental.do_not_convert
