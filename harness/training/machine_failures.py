"""What TensorFlow raises when the machine or another worker gives out, as one line."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from harness.cluster.batch import BatchPlan
from harness.cluster.strategy import Cluster
from harness.data.gather import data_errors
from harness.errors import OutOfMemory, WorkerLost


@contextmanager
def in_one_line(plan: BatchPlan, cluster: Cluster) -> Iterator[None]:
    """Raise OutOfMemory, DataError or WorkerLost for what TensorFlow raises inside, where it means that."""
    try:
        with data_errors():
            yield
    except MemoryError as error:  # NumPy's, of arrays on the host, which a smaller batch would not make smaller
        raise OutOfMemory(f"out of memory on this machine{f': {error}' if str(error) else ''}") from None
    except tf.errors.ResourceExhaustedError:
        message = f"out of memory with {plan.micro_rows:,} examples at a time on each replica"
        if plan.micro_rows > 1:
            smaller = plan.micro_rows // 2
            message += (
                f": try --set train.micro_batch={smaller}, which changes no result but that of BatchNormalization, "
                "or a smaller evaluate.batch"
            )
        raise OutOfMemory(message) from None
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        if cluster.workers == 1:
            raise
        # What TensorFlow was doing holds a thread pool, which would complain when the process ends.
        traceback.clear_frames(error.__traceback__)
        raise WorkerLost(
            f"another worker is gone ({type(error).__name__}): start all of them again with --resume auto"
        ) from None
