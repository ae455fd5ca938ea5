"""The training set as an endless `tf.data` stream of the batches one worker's replicas need."""

import tensorflow as tf

from harness.cluster.batch import BatchPlan
from harness.data.order import rows
from harness.data.sources import Split


def training_batches(
    split: Split, seed: int, plan: BatchPlan, first_step: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """Batches in the order in which this worker's replicas take them, from `first_step` on, without end.

    Endless, because after a finite set TensorFlow asks all workers at each step whether they have data left.

    Each element is one micro-batch of one replica, so that memory does not grow with the global batch; all replicas'
    first micro-batches of a step come first, then their second ones. It has n = plan.micro_rows rows:
        images (n, height, width, channels) uint8, labels (n,) int32, weights (n,) float32 (0 for padding),
        positions (n,) int64 in the endless stream of examples (see order.py).
    """
    local_replicas = context.num_replicas_in_sync // context.num_input_pipelines
    first_replica = context.input_pipeline_id * local_replicas
    images, labels = tf.constant(split.images), tf.constant(split.labels)  # uint8: this copy is the cache
    in_micro_batch = tf.range(plan.micro_rows, dtype=tf.int64)

    def batch(count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        micro_batch, replica = count // local_replicas, first_replica + count % local_replicas
        step, index = first_step + micro_batch // plan.micro_batches, micro_batch % plan.micro_batches
        in_replica = index * plan.micro_rows + in_micro_batch
        in_batch = replica * plan.replica_rows + in_replica
        real = (in_replica < plan.replica_rows) & (in_batch < plan.global_batch)
        position = step * plan.global_batch + tf.where(real, in_batch, 0)
        row = rows(position, seed, len(split))
        return tf.gather(images, row), tf.gather(labels, row), tf.cast(real, tf.float32), position

    batches = tf.data.Dataset.counter().map(_plain(batch), deterministic=True, num_parallel_calls=2)
    return batches.prefetch(2 * local_replicas).with_options(_options())


def evaluation_batches(split: Split, rows_per_replica: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Every row of `split` once, in order, shared among all replicas; each element as in `training_batches` but
    without positions, and the same number of elements for every replica."""
    local_replicas = context.num_replicas_in_sync // context.num_input_pipelines
    first_replica = context.input_pipeline_id * local_replicas
    images, labels = tf.constant(split.images), tf.constant(split.labels)
    batch_rows = rows_per_replica * context.num_replicas_in_sync
    batches = -(-len(split) // batch_rows)
    in_replica = tf.range(rows_per_replica, dtype=tf.int64)

    def batch(count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        index, replica = count // local_replicas, first_replica + count % local_replicas
        row = index * batch_rows + replica * rows_per_replica + in_replica
        real = row < len(split)
        row = tf.where(real, row, 0)
        return tf.gather(images, row), tf.gather(labels, row), tf.cast(real, tf.float32)

    return (
        tf.data.Dataset.range(batches * local_replicas)
        .map(_plain(batch))
        .prefetch(local_replicas)
        .with_options(_options())
    )


def _options() -> tf.data.Options:
    """No tuning of the pipeline at run time: nothing is left to tune, and the end of a process was seen to hang where
    an iterator waits for the thread that tunes it (TensorFlow 2.21, RootDataset::Iterator's destructor)."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


# There is no Python control flow to convert in these functions, and looking for some takes a third of a second.
_plain = tf.autograph.experimental.do_not_convert
