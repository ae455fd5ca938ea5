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
        except tf.errors.OpError as error:
            raise OSError(errno.EIO, error.message.splitlines()[0], "TensorBoard's event files") from None

    return translated
