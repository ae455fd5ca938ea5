"""TensorBoard's event files: TensorFlow writes them, and has errors of its own for what the disk does."""

import errno
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import tensorflow as tf

P = ParamSpec("P")
R = TypeVar("R")


def file_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Let `function`, which only writes event files, raise OSError: a full disk is no ResourceExhaustedError."""

    @wraps(function)
    def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            raise  # no disk says that
        except tf.errors.OpError as error:
            raise OSError(errno.EIO, error.message.splitlines()[0], "TensorBoard's event files") from None

    return translated


def write_png(tag: str, png: bytes, step: int, description: str = "") -> None:
    """Give the default writer a picture as it is: tf.summary.image would take pixels, and compress them once more.

    TensorBoard shows the first description of a tag beside its name.
    """
    width, height = (str(int.from_bytes(png[start : start + 4], "big")) for start in (16, 20))
    metadata = tf.compat.v1.SummaryMetadata(
        summary_description=description,
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="images"),
    )
    tf.summary.write(tag, tf.constant([width, height, png]), step, metadata)
